"""The Review page's handlers: what its script asks and gets, as plain values. Tested without Gradio running.

The page's script holds the next cards and shows one at each key; it sends each answer and fetches more behind the scenes. All that
passes is JSON: masks by their number in their view, pictures by address.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlencode

import numpy as np
from PIL import Image

from engine.crops import show_mask
from engine.errors import LabelError, MaskError, MaskgroupError
from engine.queues import QueueKind
from engine.types import MaskKey, MaskPair, UInt8Array, Verdict
from ui.permissions import undo_label
from ui.pictures import COLOR_A, COLOR_B, draw_view
from ui.review_desk import Card, QueueState, ReviewDesk, Wish, as_decision
from ui.workbench import Workbench

REVIEW_TAB = "review"
PICTURE_ROUTE = "/review/picture"
JPEG_QUALITY = 88
CROP_PX = 720
"""Longer side of a crop as it is sent: what a phone in the hand and half a screen need."""
KINDS = ("crop", "view", "alone")
QUEUE_WORDS: dict[QueueKind, str] = {
    "impact": "changes most groups",
    "uncertain": "the judge is unsure",
    "disagreement": "base and tuned disagree",
    "contradictions": "labels that contradict",
    "geometry": "geometry says otherwise",
    "diverse": "unlike the others",
    "random": "by chance (unbiased)",
}


def next_cards(desk: ReviewDesk, request: dict[str, Any]) -> dict[str, Any]:
    """Return {"cards": [...], "progress": {...}, "queue": {...}} or {"error": sentence}.

    Args:
        desk: Hands out pairs.
        request: "scene", "queue", "annotator", "session"; and, where wanted, "blind", "only", "count", "avoid" (pairs as
            [VIEW, NUMBER, VIEW, NUMBER]), "first" (one such pair).
    """
    try:
        wish = read_wish(desk.bench, request)
        cards = [card_values(desk.bench, wish.scene, card) for card in desk.cards(wish)]
        return {"cards": cards, **_standing(desk, wish)}
    except MaskgroupError as error:
        return {"error": str(error)}


def hints(desk: ReviewDesk, request: dict[str, Any]) -> dict[str, Any]:
    """Return {"hints": one sentence for each of "pairs", "" where there is none} or {"error": sentence}.

    Apart from the cards, as the judge takes its time and nobody should wait for it.
    """
    try:
        wish = read_wish(desk.bench, request)
        pairs = [read_pair(desk.bench, wish.scene, pair) for pair in request.get("pairs", [])]
        return {"hints": [hint_words(verdict) for verdict in desk.hints(wish, pairs)]}
    except MaskgroupError as error:
        return {"error": str(error)}


def answer(desk: ReviewDesk, request: dict[str, Any]) -> dict[str, Any]:
    """Store an answer: {"label": number, "progress": {...}} once it is on disk, or {"error": sentence}.

    Args:
        desk: Takes answers.
        request: As for `next_cards`, with "pair", "decision", "seconds" and "saw_hint".
    """
    try:
        wish = read_wish(desk.bench, request)
        pair = read_pair(desk.bench, wish.scene, request.get("pair"))
        seconds = request.get("seconds")
        if not isinstance(seconds, int | float | None) or isinstance(seconds, bool):
            raise LabelError(f"seconds is {seconds!r}, expected a number or null.")
        label = desk.answer(
            wish,
            pair,
            as_decision(str(request.get("decision"))),
            seconds=None if seconds is None else float(seconds),
            saw_hint=bool(request.get("saw_hint")),
        )
        return {"label": label.id, "progress": _progress(desk, wish.annotator)}
    except MaskgroupError as error:
        return {"error": str(error)}


def undo(desk: ReviewDesk, request: dict[str, Any]) -> dict[str, Any]:
    """Take back the label "label": {"progress": {...}} or {"error": sentence}."""
    try:
        wish = read_wish(desk.bench, request)
        number = request.get("label")
        if not isinstance(number, int):
            raise LabelError(f"The label to undo is {number!r}, expected its number.")
        undo_label(desk.bench.labels, number, wish.annotator)
        return {"progress": _progress(desk, wish.annotator)}
    except MaskgroupError as error:
        return {"error": str(error)}


def pause(desk: ReviewDesk, request: dict[str, Any]) -> dict[str, Any]:
    """Give the pairs "avoid" back for others: {} or {"error": sentence}."""
    try:
        wish = read_wish(desk.bench, request)
        desk.give_back(wish, wish.avoid)
        return {}
    except MaskgroupError as error:
        return {"error": str(error)}


def read_wish(bench: Workbench, request: dict[str, Any]) -> Wish:
    """Return what a page asks for.

    Raises:
        MaskgroupError: If a field is missing or malformed.
    """
    texts = {name: request.get(name, "") for name in ("scene", "queue", "annotator", "session", "only")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise LabelError(f"{name} is {value!r}, expected text.")
    count = request.get("count", 4)
    if not isinstance(count, int):
        raise LabelError(f"count is {count!r}, expected a whole number.")
    first, avoid = request.get("first"), request.get("avoid", [])
    if not isinstance(avoid, list):
        raise LabelError(f"avoid is {avoid!r}, expected a list of pairs.")
    return Wish(
        scene=texts["scene"],
        queue=cast("QueueKind", texts["queue"] or "impact"),
        annotator=texts["annotator"].strip() or "me",
        session=texts["session"],
        blind=bool(request.get("blind")),
        only=texts["only"],
        count=count,
        avoid=frozenset(read_pair(bench, texts["scene"], pair).canonical() for pair in cast("list[object]", avoid)),
        first=read_pair(bench, texts["scene"], first) if first else None,
    )


def read_pair(bench: Workbench, scene: str, values: object) -> MaskPair:
    """Return the masks that [VIEW, NUMBER, VIEW, NUMBER] names.

    Raises:
        MaskError: If there are none such.
    """
    listed: Sequence[object] = cast("Sequence[object]", values) if isinstance(values, list | tuple) else ()
    keys: list[MaskKey] = []
    for view, number in (listed[:2], listed[2:]) if len(listed) == 4 else ():
        if isinstance(view, str) and isinstance(number, int) and view in bench.views(scene):
            mask = bench.mask_by_number(scene, view, number)
            if mask is not None:
                keys.append(MaskKey(view, mask))
    if len(keys) != 2 or keys[0] == keys[1]:
        raise MaskError(f"{values!r} names no two masks of scene {scene!r}; expected [VIEW, NUMBER, VIEW, NUMBER].")
    return MaskPair(*keys)


def card_values(bench: Workbench, scene: str, card: Card) -> dict[str, Any]:
    """Return a card as the script takes it."""
    pair = pair_values(bench, scene, card.pair)
    return {
        "pair": pair,
        "names": [f"view {card.pair.a.view}", f"view {card.pair.b.view}"],
        "reason": card.reason,
        "pictures": [
            {kind: picture_address(scene, key, pair[2 * side + 1], kind=kind, side=side) for kind in KINDS}
            for side, key in enumerate((card.pair.a, card.pair.b))
        ],
        "cycle": [picture_address(scene, key, bench.mask_number(scene, key), kind="crop", side=0) for key in card.cycle],
        "link": "?" + urlencode({"tab": REVIEW_TAB, "scene": scene, "a": f"{pair[0]}:{pair[1]}", "b": f"{pair[2]}:{pair[3]}"}),
    }


def pair_values(bench: Workbench, scene: str, pair: MaskPair) -> list[Any]:
    """Return a pair as [VIEW, NUMBER, VIEW, NUMBER]."""
    return [
        *(pair.a.view, bench.mask_number(scene, pair.a)),
        *(pair.b.view, bench.mask_number(scene, pair.b)),
    ]


def picture_address(scene: str, key: MaskKey, number: int, *, kind: str, side: int) -> str:
    """Return where a mask's picture is."""
    return f"{PICTURE_ROUTE}?" + urlencode({"scene": scene, "view": key.view, "number": number, "kind": kind, "side": side})


def hint_words(verdict: Verdict | None) -> str:
    """Return the judge's verdict as a quiet hint, "" where there is none."""
    if verdict is None:
        return ""
    answer = "the same object" if verdict.answer == "same" else "different objects"
    return f"The judge leans to {answer}: {verdict.p_same:.0%} for the same."


def draw_picture(bench: Workbench, scene: str, view: str, number: int, *, kind: str, side: int) -> bytes:
    """Return a picture as JPEG: the crop, the view with the mask outlined, or the view with nothing but the mask.

    Raises:
        MaskgroupError: If there is no such mask or kind.
    """
    frame = bench.frame(scene, view)
    mask = bench.mask_by_number(scene, view, number)
    if mask is None or kind not in KINDS:
        raise MaskError(f"Scene {scene!r} has no picture {kind!r} of mask {number} in view {view!r}.")
    if kind == "crop":
        picture = enlarge(show_mask(frame, MaskKey(view, mask), style="on_black"))
    elif kind == "view":
        picture = draw_view(frame, mask, COLOR_B if side else COLOR_A)
    else:
        picture = np.where((frame.instance_map == mask)[..., None], frame.rgb, np.uint8(0))
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def enlarge(crop: UInt8Array, *, size: int = CROP_PX) -> UInt8Array:
    """Scale a crop so that its longer side has `size` pixels; returns (h, w, 3) uint8."""
    height, width = crop.shape[:2]
    scale = size / max(height, width)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(crop).resize(target, Image.Resampling.BICUBIC))


def queue_choices(states: Sequence[QueueState]) -> list[tuple[str, str]]:
    """Return (words, kind) for the chooser of queues; without counts while they are being made."""
    if not states:
        return [(words, kind) for kind, words in QUEUE_WORDS.items()]
    return [(describe_queue(state), state.kind) for state in states]


def describe_queue(state: QueueState) -> str:
    """Return a queue in words: what it is, how many pairs it holds, how many masks a label puts right where it does."""
    parts = [QUEUE_WORDS[state.kind], "1 pair" if state.count == 1 else f"{state.count} pairs"]
    if state.count and state.kind != "contradictions" and round(state.worth, 1) > 0:
        parts.append(f"{state.worth:.1f} masks a label")
    if state.note:
        parts.append(state.note)
    return " · ".join(parts)


def _standing(desk: ReviewDesk, wish: Wish) -> dict[str, Any]:
    states = desk.queues(wish.scene, annotator=wish.annotator, only=wish.only, kinds=[wish.queue])
    state = states[0] if states else None
    queue = {"left": state.count if state else None, "words": describe_queue(state) if state else "the queue is being made"}
    return {"progress": _progress(desk, wish.annotator), "queue": queue}


def _progress(desk: ReviewDesk, annotator: str) -> dict[str, Any]:
    done = desk.progress(annotator)
    return {"today": done.today, "total": done.total, "per_minute": round(done.per_minute, 1)}


def first_pair(a: str, b: str) -> list[Any] | None:
    """Return the pair that "VIEW:NUMBER" and "VIEW:NUMBER" of an address name, as the script sends it; None if they name none."""
    sides: list[Any] = []
    for text in (a, b):
        view, _, number = text.rpartition(":")
        if not view or not number.isdecimal():
            return None
        sides += [view, int(number)]
    return sides
