from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

class EncodedMask(TypedDict):
    size: list[int]
    counts: bytes

def encode(bimask: NDArray[np.uint8]) -> EncodedMask: ...
def frPyObjects(pyobj: list[list[float]], h: int, w: int) -> list[EncodedMask]: ...
def merge(rleObjs: list[EncodedMask], intersect: int = 0) -> EncodedMask: ...
