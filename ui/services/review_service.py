"""Hands out pairs to label and takes the answers: who gets which pair, what is done, what a card shows. No Gradio, no pictures.

Cards go ahead of time: a page holds the next few, each leased to it, so that a key shows the next pair at once. What comes back
names masks by their number in the view, as ids may give the truth away.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from db.labels.audit import LabelContradiction
from db.labels.choices import OVERLAP_SHARE, ChoiceStore
from db.labels.leases import LeaseStore, lease_key
from db.labels.rows import DECISIONS, pair_key
from db.labels.settling import Settled
from db.labels.store import Label, NewLabel, ShownVerdict
from db.labels.tallies import Tally, tally
from engine.errors import LabelError, MaskError, MaskgroupError, NotSavedError
from engine.review.queues import QUEUES, QueueKind, explain_link, queue_worth
from engine.types import Decision, Int32Array, MaskKey, MaskPair, Verdict
from ui.services.grouping_runs import GroupingRuns
from ui.services.review_evidence import ReviewEvidence, Snapshot, as_constraints
from ui.services.scene_labels import SceneLabels
from ui.services.workbench import Workbench

log = logging.getLogger(__name__)

LEASE_S = 300.0
MAX_CARDS = 8
CLEAR_S = 60.0
"""Between two clearings of leases that have run out."""
PROBING: tuple[QueueKind, ...] = ("uncertain", "disagreement", "geometry")
"""Queues that need the judges' answers."""
CLASS_SIZE = 1000
"""Ground-truth ids are class * 1000 + instance."""
FIRST_LOOK = "The first pairs are chosen by looks while the queue is being made."


@dataclass(frozen=True)
class CardRequest:
    """What a page asks for.

    Attributes:
        scene: Name of the scene.
        queue: Which queue.
        annotator: Who labels.
        session: Names the page by something that nobody guesses: two pages never hold one pair, whatever names people go by.
        blind: Whether the judge's hint is kept away.
        only: "" for all pairs, "group:N" or "class:N" for pairs with a mask of that group or class.
        count: Cards wanted.
        avoid: Pairs that the page has or had already, in canonical order.
        first: Pair to begin with, from an address.
    """

    scene: str
    queue: QueueKind
    annotator: str
    session: str
    blind: bool = False
    only: str = ""
    count: int = 4
    avoid: frozenset[MaskPair] = frozenset()
    first: MaskPair | None = None

    @property
    def holder(self) -> str:
        """Who holds the leases of this page: not its session itself, which whoever reads the database could use."""
        return hashlib.sha256(self.session.encode()).hexdigest()[:40]


@dataclass(frozen=True)
class ReviewCard:
    """One pair to decide.

    Attributes:
        pair: The masks as shown.
        queue: Where it comes from.
        reason: Why this pair, in words.
        cycle: Masks of a contradiction, each said to be the same as the next, the first and last different; else empty.
    """

    pair: MaskPair
    queue: QueueKind
    reason: str
    cycle: tuple[MaskKey, ...] = field(default_factory=tuple)


@dataclass(frozen=True)
class QueueState:
    """A queue as its chooser shows it: pairs it holds, masks that a label is expected to set right, and a remark."""

    kind: QueueKind
    count: int
    worth: float
    note: str = ""


@dataclass(frozen=True)
class Hand:
    """What a page gets at once.

    Attributes:
        cards: The pairs that are its own for some minutes.
        queue: The queue that they are from, as it stands then; None while it is being made.
        stale: Labels of the scene that are about masks or views that are not there any more.
    """

    cards: tuple[ReviewCard, ...]
    queue: QueueState | None
    stale: int


@dataclass
class _FirstLooks:
    """Pairs of a scene that were chosen without a queue, and how often one was looked for."""

    pairs: list[MaskPair] = field(default_factory=list[MaskPair])
    tries: int = 0


class ReviewService:
    """The service of one app; holds no person's choices.

    Args:
        bench: Opens scenes, asks judges, keeps labels.
        groupings: Finished runs give the links.
    """

    def __init__(self, bench: Workbench, groupings: GroupingRuns) -> None:
        self.bench = bench
        self.evidence = ReviewEvidence(bench, groupings)
        self.leases = LeaseStore(bench.labels.database)
        self.choices = ChoiceStore(bench.labels.database)
        self._first_looks: dict[str, _FirstLooks] = {}
        self._handing_out = threading.Lock()
        self._cleared_at = -CLEAR_S
        self._said: dict[str, SceneLabels] = {}
        self._groups: dict[str, tuple[int, list[tuple[str, str]]]] = {}
        bench.when_forgotten(self._forget)

    def _forget(self, scene: str) -> None:
        for kept in (self._first_looks, self._said, self._groups):
            kept.pop(scene, None)

    def hand_out(self, request: CardRequest) -> Hand:
        """Hand out the next pairs, leased to the page for some minutes, and say how their queue stands.

        Raises:
            MaskgroupError: If the request is malformed or the scene cannot be opened.
        """
        if request.queue not in QUEUES:
            raise LabelError(f"There is no queue {request.queue!r}; the queues are {', '.join(QUEUES)}.")
        if not 0 < request.count <= MAX_CARDS:
            raise LabelError(f"{request.count} cards were asked for at once, expected 1 to {MAX_CARDS}; ask again later for more.")
        found: list[ReviewCard] = []
        if request.first is not None and request.first.canonical() not in request.avoid:
            found.append(ReviewCard(request.first, request.queue, "This is the pair that the address names."))
        # One page after the other in this process: they all want the same first pairs.
        with self._handing_out:
            self._forget_expired()
            labels = self._labels(request.scene)
            snapshot = self.evidence.snapshot(request.scene, probe=request.queue in PROBING, newest=labels.newest)
            share = self.choices.number(OVERLAP_SHARE, 0.0)
            taken = self.leases.taken_keys(request.scene, others_than=request.holder)
            seen = set(request.avoid) | {card.pair.canonical() for card in found}
            candidates = self._candidates(request, snapshot, labels)
            while len(found) < request.count:
                batch: list[ReviewCard] = []
                for card in candidates:
                    pair = card.pair.canonical()
                    is_free = bool(card.cycle) or share_of(pair) < share
                    if pair in seen or (not card.cycle and _is_done(labels, pair, request.annotator, is_shared=is_free)):
                        continue
                    if lease_key(pair, request.annotator if is_free else "") in taken:
                        continue
                    seen.add(pair)
                    batch.append(card)
                    if len(found) + len(batch) == request.count:
                        break
                if not batch:
                    break
                got = self._lease(request, batch, share)
                # Another process may have held, labelled and given back a pair since the labels were read.
                labels = self._labels(request.scene)
                late = {
                    card.pair
                    for card in batch
                    if card.pair in got and not card.cycle
                    if _is_done(labels, card.pair.canonical(), request.annotator, is_shared=share_of(card.pair.canonical()) < share)
                }
                self.give_back(request, late)
                found += [card for card in batch if card.pair in got - late]
        states = self._states(request.scene, snapshot, labels, share, [request.queue], request.annotator, request.only)
        return Hand(tuple(found), states[0] if states else None, labels.stale)

    def _forget_expired(self) -> None:
        if time.monotonic() - self._cleared_at < CLEAR_S:
            return
        self._cleared_at = time.monotonic()
        try:
            self.leases.forget_expired()
        except NotSavedError as error:
            log.warning("%s", error)

    def _labels(self, scene: str) -> SceneLabels:
        """Return what people said of a scene, read anew only when labels were written."""
        newest = self.bench.labels.newest_id()
        known = self._said.get(scene)
        if known is None or known.newest != newest:
            known = self._said[scene] = SceneLabels(self.bench, scene, newest)
        return known

    def _lease(self, request: CardRequest, batch: Sequence[ReviewCard], share: float) -> set[MaskPair]:
        """Reserve pairs for a page; returns those that nobody else has."""
        exclusive = [card.pair for card in batch if not card.cycle and share_of(card.pair.canonical()) >= share]
        # Pairs that everybody gets go to one page of each person: two browsers may go by one name.
        shared = [card.pair for card in batch if card.pair not in exclusive]
        got: set[MaskPair] = set()
        for pairs, circle in ((exclusive, ""), (shared, request.annotator)):
            if pairs:
                got |= set(self.leases.lease_all(request.scene, pairs, request.holder, seconds=LEASE_S, among=circle))
        return got

    def hints(self, request: CardRequest, pairs: Sequence[MaskPair]) -> list[Verdict | None]:
        """Return the judge's verdict on each pair: None in blind mode, and where there is no judge, as people can do without."""
        if request.blind:
            return [None] * len(pairs)
        try:
            return list(self.bench.verdicts(request.scene, pairs))
        except MaskgroupError:
            return [None] * len(pairs)

    def answer(
        self,
        request: CardRequest,
        pair: MaskPair,
        decision: Decision,
        *,
        seconds: float | None,
        hint: ShownVerdict | None,
        identity: str | None = None,
    ) -> Label:
        """Store an answer; when this returns it is on disk.

        Args:
            request: The page's.
            pair: The masks in the order in which they were shown.
            decision: The answer.
            seconds: From showing the pair to the answer.
            hint: The judge's verdict, where it was shown.
            identity: The page's UUID for this answer: sent again, it is stored once.

        Raises:
            MaskgroupError: If it is malformed or cannot be stored.
        """
        for key in (pair.a, pair.b):
            if key.mask not in self.bench.masks(request.scene, key.view):
                raise MaskError(f"Scene {request.scene!r} has no mask {key}; reload the page and try again.")
        label = self.bench.labels.add(
            NewLabel(
                annotator=request.annotator,
                scene=request.scene,
                pair=pair,
                decision=decision,
                model=hint.model if hint else None,
                prompt=hint.prompt if hint else None,
                p_same=hint.p_same if hint else None,
                ambiguity=hint.ambiguity if hint else None,
                seconds=seconds,
                queue=f"{request.queue}{' blind' if request.blind else ''}",
                source="review",
            ),
            identity=identity,
        )
        self.give_back(request, [pair])
        return label

    def give_back(self, request: CardRequest, pairs: Iterable[MaskPair]) -> None:
        """Let others have the pairs that a page held; where the database cannot be written they get them when the lease ends."""
        try:
            self.leases.release_all(request.scene, list(pairs), request.holder, among=request.annotator)
        except NotSavedError as error:
            log.warning("%s", error)

    def progress(self, annotator: str) -> Tally:
        """Return what a person has done."""
        return tally(self.bench.labels.database, annotator)

    def queues(
        self, scene: str, *, annotator: str = "", only: str = "", probe: bool = False, kinds: Sequence[QueueKind] = QUEUES
    ) -> list[QueueState]:
        """Return the queues of a scene; empty while they are being made."""
        labels = self._labels(scene)
        snapshot = self.evidence.snapshot(scene, probe=probe, newest=labels.newest)
        return self._states(scene, snapshot, labels, self.choices.number(OVERLAP_SHARE, 0.0), kinds, annotator, only)

    def _states(
        self,
        scene: str,
        snapshot: Snapshot | None,
        labels: SceneLabels,
        share: float,
        kinds: Sequence[QueueKind],
        annotator: str,
        only: str,
    ) -> list[QueueState]:
        if snapshot is None:
            return []
        done = {
            snapshot.row_of[pair]
            for pair, names in labels.people.items()
            if pair in snapshot.row_of and is_done(names, annotator, is_shared=share_of(pair) < share)
        }
        states: list[QueueState] = []
        for kind in kinds:
            links = self._filtered(snapshot, kind, only, scene)
            open_links = links[~np.isin(links, list(done))] if done else links
            count, worth = len(open_links), queue_worth(snapshot.pool, open_links)
            if kind == "contradictions":
                count = len(labels.contradictions)
            states.append(QueueState(kind, count, worth, self._note(kind, snapshot)))
        return states

    def groups(self, scene: str) -> list[tuple[str, str]]:
        """Return (words, value) of what a queue can be narrowed to: the largest groups, and classes where they are known."""
        snapshot = self.evidence.snapshot(scene)
        if snapshot is None:
            return []
        version, listed = self._groups.get(scene, (0, []))
        if version != snapshot.version:
            listed = self._list_groups(scene, snapshot)
            self._groups[scene] = (snapshot.version, listed)
        return listed

    def _list_groups(self, scene: str, snapshot: Snapshot) -> list[tuple[str, str]]:
        listed = [(f"object {g.id + 1} ({len(g.masks)} masks)", f"group:{g.id}") for g in snapshot.pool.grouping.groups[:60]]
        if self.bench.open_scene(scene).scene.mask_ids_are_instances:
            masks = np.array([key.mask for key in snapshot.pool.graph.keys])
            classes, first, counts = np.unique(masks // CLASS_SIZE, return_index=True, return_counts=True)
            for number, mask, count in zip(classes.tolist(), masks[first].tolist(), counts.tolist(), strict=True):
                called = self.bench.name_of(scene, mask) or f"class {number}"
                listed.append((f"{called} ({count} masks)", f"class:{number}"))
        return listed

    def effect_words(self, scene: str, before: Sequence[Settled], after: Sequence[Settled]) -> str:
        """Return what a change of labels does to the groups, in a sentence."""
        if as_constraints(before) == as_constraints(after):
            return "What counts for the pair is as before, so no group changed."
        moved = self.evidence.masks_moved(scene, before, after)
        if moved is None:
            return "The groups of this scene are not known yet."
        words = {0: "No mask changes its group.", 1: "1 mask changes its group."}
        return words.get(moved, f"{moved} masks change their group.")

    def _candidates(self, request: CardRequest, snapshot: Snapshot | None, labels: SceneLabels) -> Iterator[ReviewCard]:
        if request.queue == "contradictions":
            for found in labels.contradictions:
                yield from self._cycle_cards(found)
            return
        if snapshot is None:
            yield from (ReviewCard(pair, request.queue, FIRST_LOOK) for pair in self._look_first(request.scene, 3 * request.count))
            return
        for link in self._filtered(snapshot, request.queue, request.only, request.scene).tolist():
            pair = snapshot.pool.pair(link)
            # Which side is which is settled by the pair itself: the judge's order bias does not always favour one view.
            shown = pair if int(hashlib.sha256(pair_key(pair).encode()).hexdigest(), 16) % 2 else pair.swapped()
            yield ReviewCard(shown, request.queue, explain_link(request.queue, snapshot.pool, link))

    def _look_first(self, scene: str, most: int) -> Iterator[MaskPair]:
        """Yield pairs for the time until the queues are made: all that were found before, then at most so many new ones.

        Everybody draws on one list, and hands out one after the other: a crew that starts at once would draw the same views again
        and again, and keep the queues from being made. Call with `_handing_out` held.
        """
        looks = self._first_looks.setdefault(scene, _FirstLooks())
        yield from list(looks.pairs)
        known = {pair.canonical() for pair in looks.pairs}
        for _ in range(most):
            pair = self.bench.propose(scene, seed=looks.tries)
            looks.tries += 1
            if pair is not None and pair.canonical() not in known:
                known.add(pair.canonical())
                looks.pairs.append(pair)
                yield pair

    def _cycle_cards(self, found: LabelContradiction) -> Iterator[ReviewCard]:
        chain = found.cycle
        reason = f"These labels cannot all be right: {len(chain) - 1} say the same and one says different. Look at each again."
        yield ReviewCard(MaskPair(chain[0], chain[-1]), "contradictions", reason, cycle=chain)
        for a, b in pairwise(chain):
            yield ReviewCard(MaskPair(a, b), "contradictions", reason, cycle=chain)

    def _filtered(self, snapshot: Snapshot, kind: QueueKind, only: str, scene: str) -> Int32Array:
        links = snapshot.orders[kind]
        what, _, number = only.partition(":")
        if not only:
            return links
        if what not in ("group", "class") or not re.fullmatch(r"-?[0-9]{1,9}", number):
            raise LabelError(f"The queue cannot be narrowed to {only!r}; choose from the list.")
        pool = snapshot.pool
        if what == "group":
            wanted = pool.grouping.labels == int(number)
        elif self.bench.open_scene(scene).scene.mask_ids_are_instances:
            wanted = np.asarray([key.mask // CLASS_SIZE for key in pool.graph.keys]) == int(number)
        else:
            raise LabelError(f"The classes of scene {scene!r} are not known; choose an object instead.")
        return links[wanted[pool.graph.evidence.pairs[links]].any(axis=1)]

    def _note(self, kind: QueueKind, snapshot: Snapshot) -> str:
        if kind == "disagreement" and self.bench.judges.rival() is None:
            return "there is no tuned model yet: retrain the judge first"
        if kind in PROBING:
            done, total = snapshot.probed
            if total == 0:
                return "the judge is asked once this queue is opened" if kind != "uncertain" else ""
            if done < total:
                return f"the judge has answered {done} of {total}"
        return ""


def share_of(pair: MaskPair) -> float:
    """Return a pair's place in [0, 1): pairs below the overlap share go to everybody. The same on every machine."""
    return int.from_bytes(hashlib.sha256(b"overlap" + pair_key(pair).encode()).digest()[:6]) / 2**48


def is_done(people: set[str], annotator: str, *, is_shared: bool) -> bool:
    """Return whether a pair is not to be handed to a person: done by anybody, or by them where everybody gets it."""
    return annotator in people if is_shared else bool(people)


def _is_done(labels: SceneLabels, pair: MaskPair, annotator: str, *, is_shared: bool) -> bool:
    return is_done(labels.people.get(pair, set()), annotator, is_shared=is_shared)


def as_decision(text: str) -> Decision:
    """Return a decision from a page.

    Raises:
        LabelError: If it is none.
    """
    if text not in DECISIONS:
        raise LabelError(f"The decision is {text!r}, expected one of {', '.join(DECISIONS)}.")
    return text
