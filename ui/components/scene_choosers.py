"""The choosers of scenes on all pages: they learn of scenes that came, went or got another title when a page is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from ui.services.workbench import Workbench


def follow_scenes(blocks: gr.Blocks, tabs: gr.Tabs, bench: Workbench, choosers: Mapping[str, Sequence[str]]) -> None:
    """Let choosers offer the scenes that there are, whenever the app is loaded and another page is opened. What is chosen stays.

    Args:
        blocks: The app, with all pages in it.
        tabs: Its pages.
        bench: Lists scenes.
        choosers: What is offered before the scenes, by the chooser's `elem_id`.

    Raises:
        LookupError: If there is no such chooser.
    """
    dropdowns = {block.elem_id: block for block in blocks.blocks.values() if isinstance(block, gr.Dropdown)}

    def list_scenes() -> list[Any]:
        scenes = bench.scene_choices()
        return [gr.update(choices=[*((word, word) for word in before), *scenes]) for before in choosers.values()]

    outputs = [dropdowns[name] for name in choosers]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "always_last"}
    for event in (blocks.load, tabs.change):
        event(list_scenes, None, outputs, **quiet)
