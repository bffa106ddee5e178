"""Leases: a queue lends each pair to one page at a time, and gets it back when the page is left.

The holder is the page (a browser's session), not a person's name, because two browsers may use one name.
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

    def lease_all(
        self, scene: str, pairs: Sequence[MaskPair], annotator: str, *, seconds: float, among: str = ""
    ) -> list[MaskPair]:
        """Lease pairs for some seconds, in one transaction; a lease that the annotator already has is renewed.

        Args:
            scene: Name of the scene of all the pairs.
            pairs: Masks of that scene, in either order.
            annotator: Who holds them.
            seconds: For how long.
            among: "" = nobody else may have the pairs; else nobody else of this circle, as for pairs that every person gets once.

        Returns:
            The pairs that nobody else has, in order.

        Raises:
            LabelError: If a name, a pair or the time is malformed or the database cannot be written; then nothing is leased.
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
            # Somebody took one of them after we looked, so they are leased one at a time.
            if len(pairs) == 1:
                return []
            each = (self.lease_all(scene, [pair], annotator, seconds=seconds, among=among) for pair in pairs)
            return [pair for got in each for pair in got]
        return got

    def release_all(self, scene: str, pairs: Sequence[MaskPair], annotator: str, *, among: str = "") -> None:
        """Give pairs back, including leases of a circle; leases of others are not affected.

        Raises:
            NotSavedError: If the database cannot be written; the leases then expire by themselves.
        """
        _check(scene, annotator, pairs, 0)
        keys = {lease_key(pair, circle) for pair in pairs for circle in ("", among)}
        if not keys:
            return
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
    """Return the key under which a pair is leased; each circle of people has its own key for the pair."""
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
