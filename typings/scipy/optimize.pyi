from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

class OptimizeResult:
    x: NDArray[np.float64]
    fun: float
    success: bool

def minimize(
    fun: Callable[[NDArray[np.float64]], Any], x0: NDArray[np.float64], *, jac: bool = ..., method: str = ...
) -> OptimizeResult: ...
def linear_sum_assignment(cost_matrix: NDArray[Any], maximize: bool = ...) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
