from typing import Any

import numpy as np
from numpy.typing import NDArray

class Rotation:
    @classmethod
    def from_rotvec(cls, rotvec: NDArray[Any]) -> Rotation: ...
    def as_matrix(self) -> NDArray[np.float64]: ...
