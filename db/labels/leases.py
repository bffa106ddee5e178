"""Leases: a queue hands each pair to one page at a time, and gets it back when the page is left.

The holder is the page (a browser's session), never a person's name: two browsers may go by one name.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Engine, delete, insert, or_, select, update
from sqlmodel import col

from db.labels.rows import MAX_LENGTHS, MAX_NAME, check_pair, pair_key
from db.schema.checks import check_text, is_a, shown
from db.schema.faults import ConflictError
from db.schema.models import LeaseRow
from db.schema.session import reading, writing
from engine.errors import LabelError
from engine.strict_json import to_json_text
from engine.types import MaskPair


class LeaseStore:
    """Who works on which pair; safe to share between threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def lease(self, scene: str, pair: MaskPair, annotator: str, *, seconds: float) -> bool:
        """Take a pair, in either order, for some seconds; a pair that the annotator has already is taken anew.

        Returns:
            False if somebody else has it.

        Raises:
            LabelError: If a name, the pair or the time is malformed or the database cannot be written.
        """
        _check(scene, annotator, [pair], seconds)
        now = time.time()
        key = {"scene": scene, "pair_key": pair_key(pair)}
        mine = {"annotator": annotator, "expires_at": now + seconds}
        free = or_(col(LeaseRow.annotator) == annotator, col(LeaseRow.expires_at) <= now)
        try:
            with writing(self._engine) as connection:
                taken = connection.execute(update(LeaseRow).where(*_is_pair(scene, pair), free).values(**mine))
                if taken.rowcount == 0:
                    connection.execute(insert(LeaseRow).values(**key, **mine))
        except ConflictError:
            return False
        return True

    def lease_all(
        self, scene: str, pairs: Sequence[MaskPair], annotator: str, *, seconds: float, among: str = ""
    ) -> list[MaskPair]:
        """Take several pairs in one transaction; see `lease`.

        Args:
            scene: Name of the scene of all the pairs.
            pairs: Masks of that scene, in either order.
            annotator: Who holds them.
            seconds: For how long.
            among: "" = nobody else may have them; else only nobody of this circle, as for a pair that goes once to each person.

        Returns:
            Those that nobody else has, in order.

        Raises:
            LabelError: As `lease` does; then none is taken.
        """
        _check(scene, annotator, pairs, seconds)
        now = time.time()
        mine = {"annotator": annotator, "expires_at": now + seconds}
        free = or_(col(LeaseRow.annotator) == annotator, col(LeaseRow.expires_at) <= now)
        got: list[MaskPair] = []
        try:
            with writing(self._engine) as connection:
                for pair in pairs:
                    taken = connection.execute(update(LeaseRow).where(*_is_pair(scene, pair, among), free).values(**mine)).rowcount
                    if taken == 0:
                        if (
                            connection.execute(select(col(LeaseRow.pair_key)).where(*_is_pair(scene, pair, among))).first()
                            is not None
                        ):
                            continue
                        connection.execute(insert(LeaseRow).values(scene=scene, pair_key=lease_key(pair, among), **mine))
                    got.append(pair)
        except ConflictError:
            # Somebody took one of them between our look and our write: one at a time, each says for itself.
            if len(pairs) == 1:
                return []
            each = (self.lease_all(scene, [pair], annotator, seconds=seconds, among=among) for pair in pairs)
            return [pair for got in each for pair in got]
        return got

    def release(self, scene: str, pair: MaskPair, annotator: str, *, among: str = "") -> None:
        """Give a pair back, also as one of a circle; one that somebody else has stays theirs.

        Raises:
            NotSavedError: If the database cannot be written; the lease runs out by itself then.
        """
        _check(scene, annotator, [pair], 0)
        keys = {lease_key(pair, ""), lease_key(pair, among)}
        mine = (col(LeaseRow.scene) == scene, col(LeaseRow.pair_key).in_(keys), col(LeaseRow.annotator) == annotator)
        with writing(self._engine) as connection:
            connection.execute(delete(LeaseRow).where(*mine))

    def taken_keys(self, scene: str, *, others_than: str) -> set[str]:
        """Return the keys (`lease_key`) of a scene's pairs that others have now."""
        _check(scene, others_than, [], 0)
        query = select(col(LeaseRow.pair_key)).where(
            col(LeaseRow.scene) == scene, col(LeaseRow.annotator) != others_than, col(LeaseRow.expires_at) > time.time()
        )
        with reading(self._engine) as connection:
            return set(connection.scalars(query))

    def forget_expired(self) -> int:
        """Delete leases that have run out; returns how many."""
        with writing(self._engine) as connection:
            return connection.execute(delete(LeaseRow).where(col(LeaseRow.expires_at) <= time.time())).rowcount


def lease_key(pair: MaskPair, among: str = "") -> str:
    """Return the text under which a pair is leased: one of its own for each circle in which it goes to one page."""
    key = pair_key(pair)
    return f"among {hashlib.sha256(to_json_text([key, among]).encode()).hexdigest()}" if among else key


def _check(scene: str, annotator: str, pairs: Sequence[MaskPair], seconds: float) -> None:
    check_text(scene, "The scene of a lease", MAX_LENGTHS["scene"])
    check_text(annotator, "An annotator's name", MAX_NAME)
    if not is_a(seconds, int, float) or not math.isfinite(seconds):
        raise LabelError(f"The time of a lease is {shown(seconds)}, expected seconds; correct it.")
    for pair in pairs:
        check_pair(pair)


def _is_pair(scene: str, pair: MaskPair, among: str = "") -> tuple[ColumnElement[bool], ...]:
    return col(LeaseRow.scene) == scene, col(LeaseRow.pair_key) == lease_key(pair, among)
