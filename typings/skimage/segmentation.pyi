from typing import Any

from numpy.typing import NDArray

def watershed(image: NDArray[Any], markers: NDArray[Any]) -> NDArray[Any]: ...
