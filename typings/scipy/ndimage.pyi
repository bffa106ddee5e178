from typing import Any

import numpy as np
from numpy.typing import NDArray

def binary_dilation(input: NDArray[Any], *, iterations: int = ...) -> NDArray[np.bool_]: ...
def find_objects(input: NDArray[Any]) -> list[tuple[slice[int, int, None], ...] | None]: ...
