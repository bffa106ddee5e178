"""The one place where it is asked whether somebody may do something. Every handler and every route passes through it.

`HANDLERS` and `ROUTES` say what each does; an app with one that is not listed does not start. Today two kinds of callers are told
apart: the app's own page (a browser in which somebody opened it), which may do everything on this one machine, and programs, which
may look, label, and take back what was labelled under the name that they give. Names are not proved.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

import gradio as gr
from fastapi import FastAPI, HTTPException, Request
from fastapi.routing import APIRoute
from gradio.context import LocalContext

from db.labels.store import Label, LabelStore
from engine.errors import LabelError, MaskgroupError
from ui.errors import shown_as_toast, told_to_programs
from ui.web.metrics import handling
from ui.web.off_loop import write_pictures
from ui.web.page_session import PageSessions
from ui.web.proxies import OUTSIDE, MetricsReaders, Outside


class Action(Enum):
    """What can be done, in words that end the sentence "... may not"."""

    LOOK = "look at scenes, labels and results"
    LABEL = "label pairs"
    UNDO_OWN = "take back a label of one's own"
    CHANGE_HISTORY = "change rows of the history"
    VOTE = "vote in a blind test"
    SETTLE = "settle pairs on which people disagree"
    SHARE_OUT = "choose which pairs go to whom, and what people who label are told"
    IMPORT = "import or copy scenes, or stop that"
    CHANGE_SCENE = "rename, remove or edit a scene"
    GROUP = "group a scene, or stop that"
    CORRECT = "correct groups"
    COMPARE = "compare models, or stop that"
    DELETE = "delete a run or comparison"
    SET_THRESHOLD = "choose a model's threshold"
    TRAIN = "train a model, or stop that"
    PROMOTE = "choose the model in use"
    EXPORT = "export a model"
    EXPORT_GROUPS = "export groups, or stop that"
    ANNOTATE_RUN = "write a note on a run"
    READ_METRICS = "read what the app counts"


FOR_PROGRAMS = "Api."
"""How the names of the functions begin that only programs call."""
OPEN_TO_PROGRAMS = frozenset({Action.LOOK, Action.LABEL, Action.UNDO_OWN})

_PAGE_HANDLERS: Mapping[str, Mapping[Action, str]] = {
    "build_blocks": {Action.LOOK: "open_addressed ask_again"},
    "follow_scenes": {Action.LOOK: "list_scenes"},
    "SceneActions": {
        Action.LOOK: "open_tab poll pick close refresh",
        Action.IMPORT: "take_upload drop_upload take_path act mend make_masks copy_to_edit",
        Action.CHANGE_SCENE: "rename ask_removal keep_scene remove",
    },
    "build_mask_editor": {Action.CHANGE_SCENE: "open_view change_masks save_masks close_view"},
    "SideActions": {Action.LOOK: "click take_view take_thumbnail show_thumbnails take_mask"},
    "JudgeActions": {
        Action.LOOK: "open_page change_scene propose take swap answer look reveal pick_point list_left_out",
        Action.LABEL: "saver.save",
        Action.UNDO_OWN: "undo",
        Action.VOTE: "voter.cast",
    },
    "build_review_tab": {
        Action.LOOK: "next_cards hints pause list_queues open_page",
        Action.LABEL: "answer",
        Action.UNDO_OWN: "undo",
    },
    "build_history_tab": {Action.LOOK: "find select open_tab", Action.CHANGE_HISTORY: "changer.change"},
    "build_people_tab": {
        Action.LOOK: "open_page refresh show_next",
        Action.SHARE_OUT: "choose_share instruct",
        Action.SETTLE: "settler.settle",
    },
    "GroupingActions": {
        Action.LOOK: "open_page poll open_kept recolour reorder find take_listed take_alike take_crop take_pixel take_in_sheet "
        "take_point show_sheet change_scene show_list_and_sheet refresh show_export",
        Action.EXPORT_GROUPS: "start_export stop_export",
        Action.GROUP: "start cancel",
        Action.CORRECT: "merge reject undo name_group propose_name",
    },
    "TrainActions": {
        Action.LOOK: "open_page poll pick preview compare suggest_rate say_usable show_changed",
        Action.TRAIN: "start cancel resume",
        Action.PROMOTE: "promote roll_back",
        Action.DELETE: "delete",
        Action.EXPORT: "export export_whole",
        Action.ANNOTATE_RUN: "save_note",
    },
    "Api": {
        Action.LOOK: "scenes scene imports_status models judge queue_next groups exported runs comparisons_status",
        Action.LABEL: "label",
        Action.UNDO_OWN: "undo",
        Action.IMPORT: "import_scene",
        Action.GROUP: "group",
        Action.EXPORT_GROUPS: "export",
        Action.TRAIN: "train",
        Action.COMPARE: "compare",
    },
    "CompareActions": {
        Action.LOOK: "open_tab choose poll show_outcome show_groups take_kept_threshold choose_side show_rates",
        Action.COMPARE: "start cancel resume",
        Action.DELETE: "delete",
        Action.SET_THRESHOLD: "keep",
    },
}
HANDLERS: Mapping[str, Action] = {
    **{
        f"{page}.{name}": action
        for page, kinds in _PAGE_HANDLERS.items()
        for action, names in kinds.items()
        for name in names.split()
    },
}
"""What each handler of the pages does, by its own name and that of the class or function that it stands in."""
ROUTES: Mapping[str, Action] = {
    "add_routes.send_plotly": Action.LOOK,
    "add_routes.send_cloud": Action.LOOK,
    "add_compare_routes.send_report": Action.LOOK,
    "add_compare_routes.send_figure": Action.LOOK,
    "add_review_routes.send_picture": Action.LOOK,
    "add_scene_routes.send_scene_picture": Action.LOOK,
    "add_scene_routes.send_view_photo": Action.LOOK,
    "add_scene_routes.take_file": Action.IMPORT,
    "add_operation_routes.send_health": Action.LOOK,
    "add_operation_routes.send_readiness": Action.LOOK,
    "add_operation_routes.send_metrics": Action.READ_METRICS,
}
"""What each address of our own does."""


class NotAllowedError(MaskgroupError):
    """Somebody asked for what they may not do."""


@dataclass(frozen=True)
class Actor:
    """Who asks.

    Attributes:
        browser: Names the browser in which somebody opened the app; None for a program.
        reads_metrics: Whether they ask from where that is allowed; a browser's cookie does not help.
    """

    browser: str | None
    reads_metrics: bool = False


def may(actor: Actor, action: Action) -> bool:
    """Return whether somebody may do something."""
    if action is Action.READ_METRICS:
        return actor.reads_metrics
    return actor.browser is not None or action in OPEN_TO_PROGRAMS


def require(actor: Actor, action: Action) -> None:
    """Stop here unless somebody may do something.

    Raises:
        NotAllowedError: If they may not.
    """
    if not may(actor, action) and action is Action.READ_METRICS:
        raise NotAllowedError(f"Only this machine may {action.value}; allow another one with --metrics-from ADDRESS.")
    if not may(actor, action):
        raise NotAllowedError(f"Only the app's own page may {action.value}; open it in a browser, or reload it, and try again.")


def undo_label(labels: LabelStore, label_id: int, annotator: str, *, identity: str | None = None) -> Label:
    """Take back a label of one's own; `identity` as for `LabelStore.undo`.

    Raises:
        NotAllowedError: If somebody else gave it.
        LabelError: If there is no such label, or it was taken back before.
    """
    label = labels.get(label_id)
    if label is None:
        raise LabelError(f"There is no label {label_id} to undo; look its number up in the history.")
    if label.annotator != annotator:
        raise NotAllowedError(
            f"Label {label_id} is {label.annotator}'s, and you are {annotator}: only who gave a label takes it back. "
            "Give your own answer to the pair, or settle it on the People page."
        )
    return labels.undo(label_id, annotator, identity=identity)


def guard_handlers(blocks: gr.Blocks, sessions: PageSessions) -> None:
    """Let every handler of the pages, and every function that their scripts call, ask first.

    Raises:
        LookupError: If one of them is not listed in `HANDLERS`.
    """
    for handler in blocks.fns.values():
        function = cast("Callable[..., Any] | None", handler.fn)  # pyright: ignore[reportUnknownMemberType]  # gradio: partial types
        if function is not None:
            handler.fn = _asking_first(function, _listed(function, HANDLERS), sessions, handler.outputs)
    for block in blocks.blocks.values():
        for name, function in list(vars(block).items()):
            if getattr(function, "_is_server_fn", False):
                setattr(block, name, _asking_first(function, _listed(function, HANDLERS), sessions))


async def ask_for_route(request: Request) -> None:
    """Ask for one of the app's own addresses; the app has this as a dependency of all of them.

    Raises:
        HTTPException: If the caller may not.
    """
    sessions: PageSessions = request.app.state.sessions
    action = _listed(request.scope["endpoint"], ROUTES)
    try:
        require(Actor(sessions.read(request.cookies), reads_metrics=_reads_metrics(request)), action)
    except NotAllowedError as error:
        raise HTTPException(403, str(error)) from error


def _reads_metrics(request: Request) -> bool:
    readers: MetricsReaders = request.app.state.metrics_readers
    outside: Outside | None = request.scope.get(OUTSIDE)
    return outside is not None and readers.admit(outside)


def check_routes(app: FastAPI) -> None:
    """Look whether each of the app's own addresses is listed.

    Raises:
        LookupError: If one is not.
    """
    for route in app.routes:
        if isinstance(route, APIRoute):
            _listed(route.endpoint, ROUTES)


def handler_name(function: Callable[..., Any]) -> str:
    """Return a handler's name as it is listed."""
    return function.__qualname__.replace("<locals>.", "")


def _listed(function: Callable[..., Any], table: Mapping[str, Action]) -> Action:
    name = handler_name(function)
    if name not in table:
        raise LookupError(f"{name} is not listed in ui.web.permissions; say there what it does.")
    return table[name]


def _asking_first(
    function: Callable[..., Any], action: Action, sessions: PageSessions, outputs: Sequence[Any] = ()
) -> Callable[..., Any]:
    @functools.wraps(function)
    def asking(*args: Any, **kwargs: Any) -> Any:
        request: Any = LocalContext.request.get(None)
        with handling(action.name.lower()):
            require(Actor(None if request is None else sessions.read(request.cookies)), action)
            return write_pictures(outputs, function(*args, **kwargs))

    guarded = (told_to_programs if handler_name(function).startswith(FOR_PROGRAMS) else shown_as_toast)(asking)
    guarded.maskgroup_action = action  # pyright: ignore[reportFunctionMemberAccess]
    return guarded
