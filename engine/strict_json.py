"""JSON that every reader accepts: the only place where values become JSON text.

Python writes NaN and infinity as words that other JSON readers do not know. Here, a number that is not finite is written as null.
It stands for a figure that does not exist, such as the recall when no pair is the same. Values that must be numbers are checked
where they are computed, not here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast


def as_object(value: object) -> dict[str, Any] | None:
    """Return a value that was read from JSON as the object that it is, None where it is no object."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def as_items(value: object) -> Sequence[Any]:
    """Return the items of a list or tuple, none where a value is neither."""
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()


def to_json_text(value: object, *, indent: int | None = None, escape: bool = True, nan_as_null: bool = True) -> str:
    """Return a value as JSON text.

    Args:
        value: Mappings, sequences, strings, numbers, booleans and None, nested; NumPy's numbers count as numbers.
        indent: Spaces a level; None = all in one line.
        escape: Write characters beyond ASCII as escapes.
        nan_as_null: Write null for a number that is not finite; otherwise it is refused.

    Raises:
        TypeError: If there is anything else in it.
        ValueError: If a number is not finite and is to be refused.
    """
    try:
        # Nearly always all numbers are finite, and copying a large room would take longer than writing it.
        return json.dumps(value, indent=indent, ensure_ascii=escape, allow_nan=False)
    except (TypeError, ValueError):
        if not nan_as_null:
            raise
        return json.dumps(finite(value), indent=indent, ensure_ascii=escape, allow_nan=False)


def finite(value: object) -> Any:
    """Return a copy of a value with None in place of every number that is not finite."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in cast("Mapping[Any, object]", value).items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in cast("list[object]", value)]
    if value is None or isinstance(value, str | int):
        return value
    # NumPy's scalars: json does not know them, and float32 is not a Python float.
    number = getattr(value, "item", None)
    return finite(number()) if callable(number) and getattr(value, "ndim", None) == 0 else value
