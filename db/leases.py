"""Leases: a queue hands each pair to one page at a time, and gets it back when the page is left.

The holder is the page (a browser's session), never a person's name: two browsers may go by one name.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Engine, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlmodel import col

from db.models import LeaseRow
from db.rows import MAX_NAME, pair_key
from db.session import for_reading
from engine.errors import LabelError, NotSavedError
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
            LabelError: If the name is malformed or the database cannot be written.
        """
        if not 0 < len(annotator) <= MAX_NAME:
            raise LabelError(f"An annotator's name has 1 to {MAX_NAME} characters, this one has {len(annotator)}; shorten it.")
        now = time.time()
        key = {"scene": scene, "pair_key": pair_key(pair)}
        mine = {"annotator": annotator, "expires_at": now + seconds}
        free = or_(col(LeaseRow.annotator) == annotator, col(LeaseRow.expires_at) <= now)
        try:
            with self._engine.begin() as connection:
                taken = connection.execute(update(LeaseRow).where(*_is_pair(scene, pair), free).values(**mine))
                if taken.rowcount == 0:
                    connection.execute(insert(LeaseRow).values(**key, **mine))
        except IntegrityError:
            return False
        except SQLAlchemyError as error:
            raise NotSavedError(f"The pair could not be reserved ({type(error).__name__}); try again.") from error
        return True

    def lease_all(
        self, scene: str, pairs: Sequence[MaskPair], annotator: str, *, seconds: float, among: str = ""
    ) -> list[MaskPair]:
        """Take several pairs in one transaction; see `lease`.

        Args:
            scene: The scene.
            pairs: The pairs.
            annotator: Who holds them.
            seconds: For how long.
            among: "" = nobody else may have them; else only nobody of this circle, as for a pair that goes once to each person.

        Returns:
            Those that nobody else has, in order.

        Raises:
            NotSavedError: If the database cannot be written.
        """
        now = time.time()
        mine = {"annotator": annotator, "expires_at": now + seconds}
        free = or_(col(LeaseRow.annotator) == annotator, col(LeaseRow.expires_at) <= now)
        got: list[MaskPair] = []
        try:
            with self._engine.begin() as connection:
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
        except IntegrityError:
            # Somebody took one of them between our look and our write: one at a time, each says for itself.
            if len(pairs) == 1:
                return []
            each = (self.lease_all(scene, [pair], annotator, seconds=seconds, among=among) for pair in pairs)
            return [pair for got in each for pair in got]
        except SQLAlchemyError as error:
            raise NotSavedError(f"The pairs could not be reserved ({type(error).__name__}); try again.") from error
        return got

    def release(self, scene: str, pair: MaskPair, annotator: str, *, among: str = "") -> None:
        """Give a pair back, also as one of a circle; one that somebody else has stays theirs.

        Raises:
            NotSavedError: If the database cannot be written; the lease runs out by itself then.
        """
        keys = {lease_key(pair, ""), lease_key(pair, among)}
        mine = (col(LeaseRow.scene) == scene, col(LeaseRow.pair_key).in_(keys), col(LeaseRow.annotator) == annotator)
        try:
            with self._engine.begin() as connection:
                connection.execute(delete(LeaseRow).where(*mine))
        except SQLAlchemyError as error:
            raise NotSavedError(
                f"The pair could not be given back ({type(error).__name__}); it is free in some minutes."
            ) from error

    def taken_keys(self, scene: str, *, others_than: str) -> set[str]:
        """Return the keys (`lease_key`) of a scene's pairs that others have now."""
        query = select(col(LeaseRow.pair_key)).where(
            col(LeaseRow.scene) == scene, col(LeaseRow.annotator) != others_than, col(LeaseRow.expires_at) > time.time()
        )
        with for_reading(self._engine).connect() as connection:
            return set(connection.scalars(query))

    def forget_expired(self) -> int:
        """Delete leases that have run out; returns how many.

        Raises:
            NotSavedError: If the database cannot be written; they are free all the same.
        """
        try:
            with self._engine.begin() as connection:
                return connection.execute(delete(LeaseRow).where(col(LeaseRow.expires_at) <= time.time())).rowcount
        except SQLAlchemyError as error:
            raise NotSavedError(f"Old leases could not be cleared ({type(error).__name__}); they no longer count.") from error


def lease_key(pair: MaskPair, among: str = "") -> str:
    """Return the text under which a pair is leased: one of its own for each circle in which it goes to one page."""
    return pair_key(pair) + (f"#{hashlib.sha256(among.encode()).hexdigest()[:16]}" if among else "")


def _is_pair(scene: str, pair: MaskPair, among: str = "") -> tuple[ColumnElement[bool], ...]:
    return col(LeaseRow.scene) == scene, col(LeaseRow.pair_key) == lease_key(pair, among)
