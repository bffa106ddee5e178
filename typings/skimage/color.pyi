from typing import Any

from numpy.typing import NDArray

def rgb2lab(rgb: NDArray[Any]) -> NDArray[Any]: ...
