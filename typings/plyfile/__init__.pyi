from collections.abc import Mapping
from typing import IO, Any

from numpy.typing import NDArray

class PlyParseError(Exception): ...

class PlyElement:
    name: str
    data: NDArray[Any]

class PlyData:
    elements: tuple[PlyElement, ...]
    @staticmethod
    def read(stream: IO[bytes], known_list_len: Mapping[str, Mapping[str, int]] = ...) -> PlyData: ...
