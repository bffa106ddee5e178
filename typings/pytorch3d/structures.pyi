from typing import Any

Meshes: Any
