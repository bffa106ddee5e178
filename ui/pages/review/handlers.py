"""The Review page's handlers: what its script asks and gets, as plain values. Tested without Gradio running.

The page's script holds the next cards and shows one at each key; it sends each answer and fetches more behind the scenes. All that
passes is JSON: masks by their number in their view, pictures by address.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from PIL import Image

from db.labels.choices import INSTRUCTIONS
from db.labels.rows import check_identity
from db.labels.store import MAX_NAME, ShownVerdict
from db.schema.checks import is_storable
from engine.errors import LabelError, MaskError, MaskgroupError, NotSavedError
from engine.review.queues import QueueKind
from engine.strict_json import as_object, to_json_text
from engine.types import MaskKey, MaskPair, UInt8Array, Verdict
from engine.views.crops import show_mask
from ui.components.pairs import (
    MAX_NUMBER,
    REVIEW_TAB,
    find_pair,
    pair_values,
    parse_place,
    picture_address,
    read_pair,
    shorten,
    values_link,
)
from ui.components.templates import render_line
from ui.components.typed import annotator_name
from ui.services.review_service import CardRequest, QueueState, ReviewCard, ReviewService, as_decision
from ui.services.workbench import Workbench
from ui.view3d.pictures import COLOR_A, COLOR_B, draw_view
from ui.web.permissions import undo_label

JPEG_QUALITY = 88
CROP_PX = 720
"""Longer side of a crop as it is sent: what a phone in the hand and half a screen need."""
MAX_TEXT, MAX_AVOID, MAX_HINTS = 200, 500, 64
"""Of what a request may hold: characters, pairs."""
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


log = logging.getLogger(__name__)

Handler = Callable[[ReviewService, Any], dict[str, Any]]


def answering(handler: Handler) -> Handler:
    """Wrap a handler: whatever comes, the page gets an object, with "error" (a sentence) where nothing was done.

    "again" beside it says that the same request may do better later: the page keeps what it asked for, and asks again.
    """

    @functools.wraps(handler)
    def guarded(service: ReviewService, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict):
            return {"error": f"The request is {shorten(request)}, expected an object with scene, queue, annotator and session."}
        try:
            return handler(service, cast("dict[str, Any]", request))
        except NotSavedError as error:
            return {"error": str(error), "again": True}
        except MaskgroupError as error:
            return {"error": str(error)}
        except Exception:
            log.exception("the Review page's %s failed", handler.__name__)
            return {"error": "The server made a mistake; its log has the details. Please report it.", "again": True}

    return guarded


def show_instructions(service: ReviewService) -> str:
    """Return what people who label are told, as HTML; "" for nothing."""
    text = service.choices.text(INSTRUCTIONS)
    return render_line("<aside class='mg-told'>{{ text }}</aside>", text=text) if text else ""


@answering
def next_cards(service: ReviewService, request: dict[str, Any]) -> dict[str, Any]:
    """Return {"cards": [...], "progress": {...}, "queue": {...}, "session": ...} or {"error": sentence}.

    Args:
        service: Hands out pairs.
        request: "scene", "queue", "annotator", "session"; and, where wanted, "blind", "only", "count", "avoid" (pairs as
            [VIEW, NUMBER, VIEW, NUMBER]), "first" (one such pair). Without a session one is made, to be sent from then on.
    """
    wanted = read_card_request(service.bench, request)
    hand = service.hand_out(wanted)
    state = hand.queue
    return {
        "cards": [card_values(service.bench, wanted.scene, card) for card in hand.cards],
        "session": wanted.session,
        "progress": _progress(service, wanted.annotator),
        "queue": {"left": state.count if state else None, "words": describe_queue(state) if state else "the queue is being made"},
        "stale": hand.stale,
    }


@answering
def hints(service: ReviewService, request: dict[str, Any]) -> dict[str, Any]:
    """Return {"hints": one sentence for each of "pairs", "" where there is none, "verdicts": what they say} or {"error": sentence}.

    Apart from the cards, as the judge takes its time and nobody should wait for it.
    """
    wanted = read_card_request(service.bench, request)
    listed = read_list(request, "pairs", MAX_HINTS)
    verdicts = service.hints(wanted, [read_pair(service.bench, wanted.scene, pair) for pair in listed])
    return {"hints": [hint_words(verdict) for verdict in verdicts], "verdicts": [verdict_values(verdict) for verdict in verdicts]}


@answering
def answer(service: ReviewService, request: dict[str, Any]) -> dict[str, Any]:
    """Store an answer: {"label": number, "id": UUID, "progress": {...}} once it is on disk, or {"error": sentence}.

    Args:
        service: Takes answers.
        request: As for `next_cards`, with "pair", "decision", "seconds"; and, where known, "id" (the page's UUID for this answer:
            sent again, it is stored once), "saw" (the verdict whose hint was shown, as `hints` gave it), "token" (the card's: the
            answer is refused if the masks of the scene are others by now).
    """
    wanted = read_card_request(service.bench, request)
    pair = read_pair(service.bench, wanted.scene, request.get("pair"))
    token = read_text(request, "token", 40)
    if token and token != pair_token(service.bench, wanted.scene, pair):
        raise MaskError(
            "The masks of this scene are not those that the page showed any more; reload it and look at the pair again."
        )
    label = service.answer(
        wanted,
        pair,
        as_decision(read_text(request, "decision", 40)),
        seconds=read_number(request, "seconds"),
        hint=read_verdict(wanted, request.get("saw")),
        identity=read_text(request, "id", 40) or None,
    )
    return {"label": label.id, "id": label.uuid, "progress": _progress(service, wanted.annotator)}


@answering
def undo(service: ReviewService, request: dict[str, Any]) -> dict[str, Any]:
    """Take a label back: {"label": number of the undoing row, "progress": {...}} or {"error": sentence}.

    Args:
        service: Keeps the labels.
        request: As for `next_cards`, with "label" (its number) or "undoes" (the UUID of the answer); and, where known, "id".
    """
    # Not `read_card_request`: a label can be taken back whose masks or scene are gone.
    annotator = annotator_name(read_text(request, "annotator", MAX_NAME))
    number, named, identity = request.get("label"), read_text(request, "undoes", 40), read_text(request, "id", 40) or None
    if named:
        check_identity(named)
        label = service.bench.labels.find(named)
        if label is None:
            raise LabelError("The answer to take back is not in the database; it was never saved.")
        number = label.id
    if not isinstance(number, int) or isinstance(number, bool):
        raise LabelError(f"The label to undo is {shorten(number)}, expected its number.")
    row = undo_label(service.bench.labels, number, annotator, identity=identity)
    return {"label": row.id, "progress": _progress(service, annotator)}


@answering
def pause(service: ReviewService, request: dict[str, Any]) -> dict[str, Any]:
    """Give the pairs "avoid" back for others: {} or {"error": sentence}."""
    wanted = read_card_request(service.bench, request)
    service.give_back(wanted, wanted.avoid)
    return {}


def read_card_request(bench: Workbench, request: dict[str, Any]) -> CardRequest:
    """Return what a page asks for.

    Raises:
        MaskgroupError: If a field is missing or malformed.
    """
    scene = read_text(request, "scene", MAX_TEXT)
    count, first = request.get("count", 4), request.get("first")
    if not isinstance(count, int) or isinstance(count, bool):
        raise LabelError(f"count is {shorten(count)}, expected a whole number.")
    # Opened first: whether a pair is there can only be said of a scene that is.
    bench.views(scene)
    return CardRequest(
        scene=scene,
        queue=cast("QueueKind", read_text(request, "queue", MAX_NAME) or "impact"),
        annotator=annotator_name(read_text(request, "annotator", MAX_NAME)),
        session=read_text(request, "session", MAX_TEXT) or secrets.token_hex(16),
        blind=read_bool(request, "blind"),
        only=read_text(request, "only", MAX_NAME),
        count=count,
        # Pairs to avoid that are gone, as a page that was open for long may have them, are avoided already.
        avoid=frozenset(
            pair.canonical()
            for values in read_list(request, "avoid", MAX_AVOID)
            if (pair := find_pair(bench, scene, values)) is not None
        ),
        first=None if first is None else read_pair(bench, scene, first),
    )


def read_text(request: dict[str, Any], name: str, longest: int) -> str:
    """Return a text of a request, "" without it.

    Raises:
        LabelError: If it is none, is too long, or holds what no database keeps.
    """
    value = request.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest or not is_storable(value):
        raise LabelError(
            f"{name} is {shorten(value)}, expected text of at most {longest} characters without NUL or half characters."
        )
    return value


def read_bool(request: dict[str, Any], name: str) -> bool:
    """Return a switch of a request, off without it.

    Raises:
        LabelError: If it is neither true nor false.
    """
    value = request.get(name)
    if not isinstance(value, bool | None):
        raise LabelError(f"{name} is {shorten(value)}, expected true or false.")
    return bool(value)


def read_number(request: dict[str, Any], name: str) -> float | None:
    """Return a number of a request, None without it.

    Raises:
        LabelError: If it is none, or beyond all bounds.
    """
    value = request.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < MAX_NUMBER:
        raise LabelError(f"{name} is {shorten(value)}, expected a number or null.")
    return float(value)


def read_list(request: dict[str, Any], name: str, most: int) -> list[Any]:
    """Return a list of pairs of a request, empty without it.

    Raises:
        LabelError: If it is none, or too long.
    """
    value = request.get(name, [])
    if not isinstance(value, list) or len(cast("list[Any]", value)) > most:
        raise LabelError(f"{name} is {shorten(request.get(name))}, expected a list of pairs, at most {most}.")
    return cast("list[Any]", value)


def read_verdict(wanted: CardRequest, saw: object) -> ShownVerdict | None:
    """Return the verdict whose hint a person saw, as the page says it; None where there was none.

    Raises:
        MaskgroupError: If it is malformed.
    """
    if wanted.blind or saw is None:
        return None
    told = as_object(saw) or {}
    model = read_text(told, "model", MAX_TEXT)
    if not model:
        raise LabelError(f"saw is {shorten(saw)}, expected a verdict as hints gives it, or null.")
    prompt = read_text(told, "prompt", MAX_NAME) or None
    return ShownVerdict(model, prompt, read_number(told, "p_same"), read_number(told, "ambiguity"))


def pair_token(bench: Workbench, scene: str, pair: MaskPair) -> str:
    """Return what tells a pair from any other that its numbers could come to name: its masks and how large they are."""
    ordered = pair.canonical()
    sides = [[key.view, key.mask, bench.masks(scene, key.view)[key.mask]] for key in (ordered.a, ordered.b)]
    return hashlib.sha256(to_json_text([scene, sides]).encode()).hexdigest()[:16]


def verdict_values(verdict: Verdict | None) -> dict[str, Any] | None:
    """Return a verdict as the page keeps it with its hint."""
    if verdict is None:
        return None
    return {"model": verdict.model, "prompt": verdict.prompt, "p_same": verdict.p_same, "ambiguity": verdict.ambiguity}


def card_values(bench: Workbench, scene: str, card: ReviewCard) -> dict[str, Any]:
    """Return a card as the script takes it."""
    pair = pair_values(bench, scene, card.pair)
    return {
        "pair": pair,
        "token": pair_token(bench, scene, card.pair),
        "names": [f"view {card.pair.a.view}", f"view {card.pair.b.view}"],
        "reason": card.reason,
        "pictures": [
            {kind: picture_address(scene, key, pair[2 * side + 1], kind=kind, side=side) for kind in KINDS}
            for side, key in enumerate((card.pair.a, card.pair.b))
        ],
        "cycle": [picture_address(scene, key, bench.mask_number(scene, key), kind="crop", side=0) for key in card.cycle],
        "link": values_link(scene, pair, tab=REVIEW_TAB),
    }


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


def _progress(service: ReviewService, annotator: str) -> dict[str, Any]:
    done = service.progress(annotator)
    return {"today": done.today, "total": done.total, "per_minute": round(done.per_minute, 1)}


def first_pair(a: str, b: str) -> list[Any] | None:
    """Return the pair that "VIEW:NUMBER" and "VIEW:NUMBER" of an address name, as the script sends it; None if they name none."""
    try:
        sides = [parse_place(a), parse_place(b)]
    except ValueError:
        return None
    is_whole = all(view and number is not None for view, number in sides)
    return [part for side in sides for part in side] if is_whole else None
