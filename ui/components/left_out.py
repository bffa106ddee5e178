"""The list of what was left out, as HTML: folders that are no scenes, and views that cannot be used, each with its reason."""

from __future__ import annotations

from engine.errors import MaskgroupError, SceneError
from ui.escape import escape
from ui.services.workbench import Workbench

MAX_ITEMS = 50


def left_out_list(bench: Workbench) -> str:
    """Return the list, or nothing where nothing was left out."""
    try:
        folders, views = bench.left_out()
    except MaskgroupError as error:
        return f"<p class='mg-left-out'>{escape(str(error))}</p>"
    items = [(entry.name, entry.reason) for entry in folders]
    items += [(f"view {view.name} of {scene}", view.reason) for scene, listed in views.items() for view in listed]
    if not items:
        return ""
    lines = [f"<li>left out: {escape(_shown(name))} — {escape(reason)}</li>" for name, reason in items[:MAX_ITEMS]]
    if len(items) > MAX_ITEMS:
        lines.append(f"<li>and {len(items) - MAX_ITEMS} more; <code>maskgroup scenes</code> lists all</li>")
    return f"<details class='mg-left-out'><summary>{len(items)} left out</summary><ul>{''.join(lines)}</ul></details>"


def _shown(name: str) -> str:
    return str(SceneError(name))
