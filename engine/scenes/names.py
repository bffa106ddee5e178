"""Names of files and views: their order, how they are shown, and which ones belong to other programs. Reads nothing."""

from __future__ import annotations

import re
import unicodedata

MAX_SHOWN = 80
"""Longer names are cut where they are shown."""

_SYSTEM = frozenset(
    {
        "__macosx",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "@eadir",
        "icon\r",
        "__pycache__",
    }
)


def numeric_order(name: str) -> tuple[tuple[int, int, str, str], ...]:
    """Sort key that puts 2 before 10: runs of the digits 0 to 9 compare as numbers, everything else as text."""
    parts: list[tuple[int, int, str, str]] = []
    for part in re.findall(r"[0-9]+|[^0-9]+", name):
        if part[0] in "0123456789":
            digits = part.lstrip("0")
            parts.append((0, len(digits), digits, part))
        else:
            parts.append((1, 0, part, part))
    return tuple(parts)


def is_foreign(name: str) -> bool:
    """Whether a file or folder is hidden or left there by an operating system, such as ._1.png, Thumbs.db or __MACOSX."""
    return name.startswith(".") or name.lower() in _SYSTEM


def normal_form(name: str) -> str:
    """Return a name in the one form (NFC) in which names that look the same are equal."""
    return unicodedata.normalize("NFC", name)


def fault_of(name: str) -> str | None:
    """Return why a name cannot be a view's, or None if it can."""
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "its name is no UTF-8 text"
    for character in name:
        if (
            unicodedata.category(character) in ("Cc", "Zl", "Zp")
            or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        ):
            return f"its name holds the control character U+{ord(character):04X}"
    return None


def printable(name: str) -> str:
    """Return a name in quotes, on one line, with everything escaped that cannot be printed, cut where it is long."""
    cut = name if len(name) <= MAX_SHOWN else name[:MAX_SHOWN] + "…"
    return repr(cut).encode("utf-8", "backslashreplace").decode("utf-8")
