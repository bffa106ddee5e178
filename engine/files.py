"""Writes small JSON files completely or not at all. The only place where the program writes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from engine.strict_json import to_json_text


def write_atomically(path: Path, content: Mapping[str, object]) -> None:
    """Write JSON to a temporary file and rename it when it is complete, so a reader sees the old file or the new one.

    Args:
        path: The file; its folder exists.
        content: JSON values; numbers that are not finite become null.

    Raises:
        OSError: If it cannot be written; the old file stays.
    """
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        unfinished.write_text(to_json_text(content, indent=2) + "\n", encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
