"""Between rows and the values that leave this package: keys of pairs, checks of new labels, conversions. Runs no query."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import cast, get_args

from db.schema.checks import MAX_LENGTHS, check_text, in_utc, is_a, is_whole, shown
from db.schema.faults import StoredValueError
from db.schema.models import DecisionRow
from engine.errors import LabelError
from engine.strict_json import to_json_text
from engine.types import Decision, MaskKey, MaskPair

MAX_NAME = 80
EPOCH = datetime.fromtimestamp(0, UTC)
MAY_BE_NONE = ("model", "prompt")
MAX_VIEW = 200
MAX_PAIR_KEY = 500
MASK_RANGE = range(-(2**31), 2**31)
MAX_BESIDE = 8
"""Verdicts that one label may carry beside the first."""
IDENTITY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DECISIONS: tuple[Decision, ...] = get_args(Decision)


@dataclass(frozen=True)
class ShownVerdict:
    """One model's verdict on a pair as the page showed it: P(same) and the mass on neither yes nor no, both in [0, 1]."""

    model: str
    prompt: str | None = None
    p_same: float | None = None
    ambiguity: float | None = None


@dataclass(frozen=True)
class NewLabel:
    """A decision to be stored.

    Attributes:
        annotator: Who decided, at most 80 characters.
        scene: Name of the scene.
        pair: The masks in the order in which they were shown.
        decision: What was decided.
        model: Name of the model whose verdict was shown, or None; `prompt`, `p_same`, `ambiguity` are its answer.
        seconds: Time from showing the pair to deciding, or None.
        beside: Verdicts of other models that were shown beside that one.
        queue: Where the pair came from.
        source: Which program wrote the label.
        is_gold: Whether it settles the pair: a gold label outweighs all others. A person's gold label does not replace
            their ordinary one.
    """

    annotator: str
    scene: str
    pair: MaskPair
    decision: Decision
    model: str | None = None
    prompt: str | None = None
    p_same: float | None = None
    ambiguity: float | None = None
    seconds: float | None = None
    queue: str = "judge-page"
    source: str = "app"
    is_gold: bool = False
    beside: tuple[ShownVerdict, ...] = ()

    @property
    def shown(self) -> tuple[ShownVerdict, ...]:
        """Every verdict that was on the page when this was decided, in the order on the page."""
        if self.model is None:
            return self.beside
        return (ShownVerdict(self.model, self.prompt, self.p_same, self.ambiguity), *self.beside)


@dataclass(frozen=True)
class Label(NewLabel):
    """A stored row of the history; an undo has `undoes` set to the id of the row that it takes back."""

    id: int = 0
    uuid: str = ""
    created_at: datetime = EPOCH
    undoes: int | None = None


def pair_key(pair: MaskPair) -> str:
    """Return the key of a pair, the same in both orders."""
    ordered = pair.canonical()
    return to_json_text([[key.view, key.mask] for key in (ordered.a, ordered.b)])


def check_label(label: NewLabel) -> None:
    """Refuse a label that must not be stored.

    Raises:
        LabelError: If a text is empty, too long or holds a NUL, the pair is one mask twice, or a number is out of its range; a
            value of another type than its field's is refused too.
    """
    check_text(label.annotator, "An annotator's name", MAX_NAME)
    if not is_a(label.decision, str) or label.decision not in DECISIONS:
        raise LabelError(f"The decision is {shown(label.decision)}, expected one of {', '.join(DECISIONS)}; correct it.")
    if not is_a(label.is_gold, bool):
        raise LabelError(f"is_gold is {shown(label.is_gold)}, expected true or false; correct it.")
    if label.is_gold and label.decision == "skip":
        raise LabelError("A gold label settles a pair, which 'skip' does not; choose same, different or unsure.")
    for name, longest in MAX_LENGTHS.items():
        value: str | None = getattr(label, name)
        if value is not None or name not in MAY_BE_NONE:
            check_text(value, f"The {name} of a label", longest)
    check_pair(label.pair)
    for name, top in (("p_same", 1.0), ("ambiguity", 1.0), ("seconds", math.inf)):
        number: float | None = getattr(label, name)
        if number is not None and not (is_number(number) and math.isfinite(number) and 0 <= number <= top):
            wanted = "0 to 1" if top == 1 else "0 or more seconds"
            raise LabelError(f"The {name} of a label is {shown(number)}, expected {wanted}; leave it out if it is not known.")
    if len(label.beside) > MAX_BESIDE:
        raise LabelError(f"A label carries up to {MAX_BESIDE} verdicts beside the first, this one has {len(label.beside)}.")
    for verdict in label.beside:
        # Each is checked like the first one.
        told = {name: getattr(verdict, name) for name in ("model", "prompt", "p_same", "ambiguity")}
        check_label(replace(label, beside=(), **told))


def check_identity(identity: str) -> None:
    """Refuse an identity that is not unique.

    Raises:
        LabelError: If it is no UUID in small letters.
    """
    if not IDENTITY.fullmatch(identity):
        raise LabelError(
            f"The id of a decision is {identity[:60]!r}, expected a UUID such as {uuid.UUID(int=0)}; make a fresh one."
        )


def check_pair(pair: MaskPair) -> None:
    """Refuse a pair that is not two masks.

    Raises:
        LabelError: If it is one mask twice, a view's name is empty or too long, or a mask's id is not an int32.
    """
    for key in (pair.a, pair.b):
        check_text(key.view, "A view's name", MAX_VIEW)
        if not is_whole(key.mask) or key.mask not in MASK_RANGE:
            raise LabelError(f"Mask {shown(key.mask)} is no 32-bit number; mask ids are int32.")
    if pair.a == pair.b:
        raise LabelError(f"Both masks are {pair.a}: a mask needs no comparison with itself; pick two.")
    if len(pair_key(pair)) > MAX_PAIR_KEY:
        raise LabelError("The two views' names are too long together, as characters beyond ASCII count six times; shorten them.")


def is_number(value: object) -> bool:
    """Return whether a value is a number that a float can hold; True is not a number."""
    # A longer whole number does not fit into a float.
    return isinstance(value, float) or (is_whole(value) and abs(value) < 2**63)


def row_of(label: NewLabel, created_at: datetime, *, identity: str | None = None, undoes: int | None = None) -> DecisionRow:
    """Return the row that holds a label; without an `identity` it gets a fresh one."""
    return DecisionRow(
        uuid=identity or str(uuid.uuid4()),
        created_at=created_at,
        annotator=label.annotator,
        scene=label.scene,
        pair_key=pair_key(label.pair),
        view_a=label.pair.a.view,
        mask_a=label.pair.a.mask,
        view_b=label.pair.b.view,
        mask_b=label.pair.b.mask,
        decision=label.decision,
        undoes=undoes,
        model=label.model,
        prompt=label.prompt,
        p_same=label.p_same,
        ambiguity=label.ambiguity,
        seconds=label.seconds,
        queue=label.queue,
        source=label.source,
        is_gold=label.is_gold,
        beside=write_beside(label.beside),
    )


def write_beside(beside: Sequence[ShownVerdict]) -> str | None:
    """Return verdicts as the column holds them, None for none."""
    return to_json_text([asdict(verdict) for verdict in beside], escape=False) if beside else None


def read_beside(text: str | None) -> tuple[ShownVerdict, ...]:
    """Return what the column holds.

    Raises:
        StoredValueError: If that is no list of verdicts.
    """
    if text is None:
        return ()
    try:
        return tuple(ShownVerdict(**values) for values in json.loads(text))
    except (ValueError, TypeError) as error:
        raise StoredValueError(f"{shown(text)} is no list of verdicts") from error


def read_pair(view_a: object, mask_a: object, view_b: object, mask_b: object) -> MaskPair:
    """Return what the four columns hold.

    Raises:
        StoredValueError: If that is no pair of masks.
    """
    if not (isinstance(view_a, str) and isinstance(view_b, str) and is_whole(mask_a) and is_whole(mask_b)):
        raise StoredValueError(f"{shown(view_a)}, {shown(mask_a)}, {shown(view_b)}, {shown(mask_b)} are no pair of masks")
    return MaskPair(MaskKey(view_a, mask_a), MaskKey(view_b, mask_b))


def label_of(row: DecisionRow) -> Label:
    """Return a stored row as a value.

    Raises:
        StoredValueError: If a cell holds a value that was never stored, as in a damaged database.
    """
    assert row.id is not None
    _check_cells(row)
    return Label(
        annotator=row.annotator,
        scene=row.scene,
        pair=read_pair(row.view_a, row.mask_a, row.view_b, row.mask_b),
        decision=cast("Decision", row.decision),
        model=row.model,
        prompt=row.prompt,
        p_same=row.p_same,
        ambiguity=row.ambiguity,
        seconds=row.seconds,
        queue=row.queue,
        source=row.source,
        is_gold=bool(row.is_gold),
        beside=read_beside(row.beside),
        id=row.id,
        uuid=row.uuid,
        created_at=in_utc(row.created_at),
        undoes=row.undoes,
    )


def _check_cells(row: DecisionRow) -> None:
    texts = (row.uuid, row.annotator, row.scene, row.queue, row.source)
    numbers = (row.p_same, row.ambiguity, row.seconds)
    if not (
        row.decision in DECISIONS
        and all(is_a(value, str) for value in texts)
        and all(value is None or isinstance(value, float) for value in numbers)
        and all(value is None or is_a(value, str) for value in (row.model, row.prompt))
        and (row.undoes is None or is_whole(row.undoes))
    ):
        raise StoredValueError(f"row {row.id} of decisions holds what is no label")
