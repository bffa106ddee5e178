"""A row of labels as a file of `maskgroup labels export` holds it."""

from __future__ import annotations

from typing import Any


def label_record(**changes: Any) -> dict[str, Any]:
    """Return a sound row without the fields that may be missing, with some fields changed or added."""
    good = {
        "uuid": "u1",
        "created_at": "2026-01-31T12:00:00+01:00",
        "annotator": "Zoë",
        "scene": "room",
        "view_a": "1",
        "mask_a": 5,
        "view_b": "2",
        "mask_b": 6,
        "decision": "same",
        "queue": "q",
        "source": "s",
    }
    return good | changes
