"""The History page's handlers: find rows, show one with all that was said of its pair, change it, say what that changed."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from db.labels.search import Filter, Found, search
from db.labels.store import Label, NewLabel
from engine.errors import LabelError, MaskgroupError
from engine.types import Decision, MaskPair
from ui.components.pairs import HISTORY_TAB, parse_place, pictures_html, read_pair
from ui.components.templates import render
from ui.components.typed import annotator_name, row_number
from ui.components.wording import DECISION_WORDS
from ui.services.review_service import ReviewService
from ui.services.workbench import Workbench, stale_words
from ui.web.permissions import undo_label

HEADERS = ["row", "when (UTC)", "scene", "pair", "said", "by", "queue", "seconds", "counts"]


@dataclass(frozen=True)
class PairAddress:
    """What the page's address asks for: a row, a pair, or a scene's rows."""

    label: int | None = None
    scene: str | None = None
    pair: MaskPair | None = None


@dataclass(frozen=True)
class ToldRow:
    """What one row says of a pair.

    Attributes:
        label: The row.
        address: Where it is shown.
        said: What it says, in words.
        shown: Every verdict that was shown when it was written: the model's name and its P(same).
        is_chosen: Whether it is the row that a person looks at.
    """

    label: Label
    address: str
    said: str
    shown: list[tuple[str, float]]
    is_chosen: bool


def read_address(bench: Workbench, query: dict[str, str]) -> PairAddress:
    """Return what an address names; what does not exist is left out."""
    scene = query.get("scene")
    pair = None
    if scene in bench.scene_names() and "a" in query and "b" in query:
        assert scene is not None
        try:
            pair = read_pair(bench, scene, [*parse_place(query["a"]), *parse_place(query["b"])])
        except (ValueError, MaskgroupError):
            pair = None
    return PairAddress(row_number(query.get("label", "")), scene, pair)


def table(bench: Workbench, found: list[Found]) -> list[list[str]]:
    """Return the rows of the page's table, in the order of `HEADERS`."""
    stale = {label.id for label in bench.stale_labels(entry.label for entry in found)}
    return [
        [
            str(entry.label.id),
            f"{entry.label.created_at:%Y-%m-%d %H:%M:%S}",
            entry.label.scene,
            stale_words(entry.label.pair) if entry.label.id in stale else bench.pair_words(entry.label.scene, entry.label.pair),
            said(entry.label),
            entry.label.annotator,
            entry.label.queue,
            "" if entry.label.seconds is None else f"{entry.label.seconds:.1f}",
            counts_words(entry, is_stale=entry.label.id in stale),
        ]
        for entry in found
    ]


def find(service: ReviewService, wanted: Filter) -> list[Found]:
    """Return the rows that fit, newest first."""
    return search(service.bench.labels.database, wanted)


def said(label: Label) -> str:
    """Return what a row says."""
    if label.undoes is not None:
        return f"took back row {label.undoes}"
    return DECISION_WORDS[label.decision] + (" (gold)" if label.is_gold else "")


def counts_words(found: Found, *, is_stale: bool) -> str:
    """Return whether a row counts; a stale one counts for nothing until its masks are there again."""
    if not found.counts:
        return "no"
    return "stale" if is_stale else "yes"


def details(service: ReviewService, label_id: int) -> str:
    """Return one row as HTML: both masks, all that was said of the pair, links.

    Raises:
        LabelError: If there is no such row.
    """
    label = get_label(service, label_id)
    bench = service.bench
    told = bench.labels.history(label.scene, pair=label.pair)
    settled = next((entry for entry in bench.labels.settled(label.scene) if entry.pair == label.pair.canonical()), None)
    return render(
        "pages/history/details.html.j2",
        pictures=pictures_html(bench, label.scene, label.pair),
        decision=None if settled is None else DECISION_WORDS[settled.decision],
        basis=None if settled is None else settled.basis,
        rows=[
            ToldRow(
                row,
                label_link(row.id),
                said(row),
                [(verdict.model, verdict.p_same) for verdict in row.shown if verdict.p_same is not None],
                is_chosen=row.id == label.id,
            )
            for row in reversed(told)
        ],
    )


def label_link(label_id: int) -> str:
    """Return the address of a row."""
    return "?" + urlencode({"tab": HISTORY_TAB, "label": label_id})


def get_label(service: ReviewService, label_id: int | None) -> Label:
    """Return a row.

    Raises:
        LabelError: If there is none of this number.
    """
    label = None if label_id is None else service.bench.labels.get(label_id)
    if label is None:
        raise LabelError(f"There is no row {label_id} in the history; choose one from the table.")
    return label


def change(service: ReviewService, label_id: int | None, decision: Decision | None, *, annotator: str) -> tuple[int, str]:
    """Change one's mind about a row's pair, or (None) take the row back; the row itself stays.

    Returns:
        The new row's number, and what it changed, in words.

    Raises:
        MaskgroupError: If there is no such row, or it was taken back before.
    """
    label = get_label(service, label_id)
    name = annotator_name(annotator)
    before = service.bench.labels.settled(label.scene)
    if decision is None:
        new = undo_label(service.bench.labels, label.id, name)
    else:
        new = service.bench.labels.add(
            NewLabel(name, label.scene, label.pair, decision, queue="history", source="history", is_gold=label.is_gold)
        )
    after = service.bench.labels.settled(label.scene)
    return new.id, f"Row {new.id} written. {service.effect_words(label.scene, before, after)}"
