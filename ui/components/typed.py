"""What people type and pages hold as text, as values."""

from __future__ import annotations

NAMELESS = "me"
"""Who labels where no name is typed."""


def annotator_name(text: str) -> str:
    """Return the name under which somebody labels."""
    return text.strip() or NAMELESS


def row_number(text: str) -> int | None:
    """Return the number of a row of the history, None where the text is none."""
    return int(text) if text.isdecimal() and len(text) < 10 else None
