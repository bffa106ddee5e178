from typing import Any

import numpy as np
from numpy.typing import NDArray

class KDTree:
    def __init__(self, data: NDArray[Any]) -> None: ...
    def query(self, x: NDArray[Any], *, distance_upper_bound: float = ...) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...
