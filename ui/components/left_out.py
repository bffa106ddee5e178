"""The list of what was left out, as HTML: folders that are no scenes, and views that cannot be used, each with its reason."""

from __future__ import annotations

from engine.errors import MaskgroupError, on_one_line
from ui.components.templates import render, render_line
from ui.services.workbench import Workbench

MAX_ITEMS = 50


def left_out_list(bench: Workbench) -> str:
    """Return the list, or nothing where nothing was left out."""
    try:
        folders, views = bench.left_out()
    except MaskgroupError as error:
        return render_line("<p class='mg-left-out'>{{ why }}</p>", why=str(error))
    items = [(entry.name, entry.reason) for entry in folders]
    items += [(f"view {view.name} of {scene}", view.reason) for scene, listed in views.items() for view in listed]
    if not items:
        return ""
    return render(
        "components/left_out.html.j2",
        total=len(items),
        items=[(on_one_line(name), reason) for name, reason in items[:MAX_ITEMS]],
        more=max(0, len(items) - MAX_ITEMS),
    )
