from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

def load_file(filename: str | Path) -> dict[str, Tensor]: ...
def save_file(tensors: Mapping[str, Tensor], filename: str | Path, metadata: Mapping[str, str] | None = ...) -> None: ...
