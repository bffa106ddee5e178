from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

class EncodedMask(TypedDict):
    size: list[int]
    counts: bytes

def encode(bimask: NDArray[np.uint8]) -> EncodedMask: ...
