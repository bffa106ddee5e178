from typing import Any

import numpy as np
from numpy.typing import NDArray

class EmbreeScene:
    def __init__(self) -> None: ...
    def run(
        self, origins: NDArray[np.float32], directions: NDArray[np.float32], *, query: str = ..., output: bool = ...
    ) -> Any: ...
