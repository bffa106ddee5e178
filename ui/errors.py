"""The one place where domain errors become toasts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gradio as gr

from engine.errors import MaskgroupError
from ui.escape import escape_markdown

P = ParamSpec("P")
R = TypeVar("R")


def shown_as_toast(handler: Callable[P, R]) -> Callable[P, R]:
    """Wrap a handler so that a `MaskgroupError` becomes a toast with the same sentence; the page stays as it was.

    `ui.web.permissions` wraps every handler of the app so: the handlers themselves just raise.
    """

    @functools.wraps(handler)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except MaskgroupError as error:
            # Errors quote names, and a toast draws what looks like markup.
            raise gr.Error(escape_markdown(error), print_exception=False) from error

    return guarded


def told_to_programs(handler: Callable[P, R]) -> Callable[P, R]:
    """Wrap an endpoint so that a `MaskgroupError` reaches the program as its plain sentence: no page ever draws it."""

    @functools.wraps(handler)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except MaskgroupError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return guarded
