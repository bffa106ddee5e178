"""The errors a person may see. Each message says what came, what was expected and what to do next, in one sentence.

The command line prints them and exits with code 2; the app shows them as a toast. Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations


class MaskgroupError(Exception):
    """Base of every error caused by input rather than by a bug."""


class SceneError(MaskgroupError):
    """A scene folder, or a file in it, is missing or broken.

    Args:
        message: The sentence. File names in it may contain anything, so characters that cannot be printed on one line are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(on_one_line(message))


def on_one_line(text: str) -> str:
    """Return text that may hold anything, as names of files do, on one line; what cannot be printed is escaped."""
    readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in readable)


class MaskError(MaskgroupError):
    """A view or a mask was asked for that does not exist or is empty."""


class LeftOutError(SceneError, MaskError):
    """A view was asked for that was left out of its scene, because a file of it is missing or broken."""


class RenderError(MaskgroupError):
    """A rendering backend is not available here, or cannot draw what was asked."""


class ModelError(MaskgroupError):
    """A judge model cannot be found, loaded or used."""


class LabelError(MaskgroupError):
    """A label or a label file cannot be stored or read."""


class NotSavedError(LabelError):
    """The database could not be written just now; the same label may be sent again."""


class RunError(MaskgroupError):
    """A run (grouping, training, comparison) cannot be stored, found, started or changed."""
