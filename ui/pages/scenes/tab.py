"""The Scenes page: which event calls what. Its parts are laid out in `layout`; what each event does is in `actions`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.pages.scenes.actions import SceneActions
from ui.pages.scenes.layout import ScenesPage, lay_out_page
from ui.pages.scenes.mask_editor import build_mask_editor
from ui.services.mask_edits import MaskEdits
from ui.services.scene_imports import SceneImports
from ui.web.gradio_parts import event_of

# One queue for the whole page: answers come in the order in which they were asked for, so the last one is of the last click.
QUIET: dict[str, Any] = {
    "show_progress": "hidden",
    "api_visibility": "private",
    "concurrency_id": "scenes",
    "concurrency_limit": 1,
}
# A copy that is finished is shown by the page itself; what a person chose has its address by then.
COPY_SCRIPT = """(scene) => {
  const query = new URLSearchParams(location.search);
  if (!scene || query.get('tab') !== 'scenes' || query.get('scene') === scene) return;
  history.replaceState(null, '', '?' + new URLSearchParams({tab: 'scenes', scene}));
}"""
NO_SCENE_SCRIPT = "() => { history.replaceState(null, '', '?tab=scenes'); }"
TO_DETAILS_SCRIPT = "() => { document.getElementById('mg-scene-details')?.scrollIntoView({ block: 'nearest' }); }"


def build_scenes_tab(tab: gr.Tab, actions: SceneActions, imports: SceneImports, edits: MaskEdits, *, max_bytes: int) -> None:
    """Lay out the page inside `tab`, in whose context this is called, and wire it."""
    editor = build_mask_editor(edits)
    page = lay_out_page(imports, max_bytes=max_bytes)
    tab.select(
        actions.open_tab, [page.was_open, page.details.chosen], [page.was_open, *page.outputs(), *page.details.outputs()], **QUIET
    )
    page.timer.tick(actions.poll, [page.told, page.drawn], [*page.outputs(), *page.details.outputs()], **QUIET)
    looked_at = [page.told, page.drawn]
    event_of(editor, "copy")(actions.copy_to_edit, looked_at, page.outputs(), **QUIET)
    event_of(editor, "changed")(actions.refresh, looked_at, page.outputs(), **QUIET)
    _wire_bring(page, actions)
    _wire_details(page, actions)


def _wire_bring(page: ScenesPage, actions: SceneActions) -> None:
    bring, looked_at = page.bring, [page.told, page.drawn]
    event_of(bring.drop, "uploaded")(actions.take_upload, [bring.called, *looked_at], [bring.called, *page.outputs()], **QUIET)
    event_of(bring.drop, "dropped")(actions.drop_upload, None, None, **QUIET)
    event_of(bring.imports, "act")(actions.act, looked_at, page.outputs(), **QUIET)
    gr.on(  # pyright: ignore[reportUnknownMemberType]  # gradio: untyped validator
        [bring.take.click, bring.path.submit],
        actions.take_path,
        [bring.path, bring.called, *looked_at],
        [bring.path, bring.called, *page.outputs()],
        **QUIET,
    )


def _wire_details(page: ScenesPage, actions: SceneActions) -> None:
    part, looked_at = page.details, [page.told, page.drawn]
    everything = [*page.outputs(), *part.outputs()]
    for links in (page.cards, page.bring.imports):
        picked = event_of(links, "pick")(actions.pick, looked_at, everything, trigger_mode="multiple", **QUIET)
        picked.success(None, None, None, js=TO_DETAILS_SCRIPT, **QUIET)
    event_of(part.shown, "mend")(actions.mend, looked_at, page.outputs(), **QUIET)
    event_of(part.shown, "make")(actions.make_masks, looked_at, page.outputs(), **QUIET)
    part.chosen.change(None, part.chosen, None, js=COPY_SCRIPT, **QUIET)
    closed = part.close.click(actions.close, looked_at, everything, **QUIET)
    part.rename.click(actions.rename, [part.chosen, part.title, *looked_at], everything, **QUIET)
    part.title.submit(actions.rename, [part.chosen, part.title, *looked_at], everything, **QUIET)
    part.remove.click(actions.ask_removal, part.chosen, [part.asked_of, part.question, part.asking], **QUIET)
    part.keep.click(actions.keep_scene, None, part.asking, **QUIET)
    removed = part.confirm.click(actions.remove, [part.chosen, part.asked_of, *looked_at], everything, **QUIET)
    for gone in (closed, removed):
        gone.success(None, None, None, js=NO_SCENE_SCRIPT, **QUIET)
