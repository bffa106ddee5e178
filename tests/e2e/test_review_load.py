"""Many labelling clients at once through the running app's HTTP API: exactly as many rows as acknowledgements, no pair twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from gradio_client import Client

from db.labels.store import LabelStore
from db.schema.session import open_database
from tests.browser.app_process import running_app
from tests.tiny_room import NAME, write_tiny_room

CLIENTS = 20
SECONDS = 5.0
ENOUGH = CLIENTS // 2
"""Labels by which a crew has worked at once at all; on a slow machine it goes on until it has them."""
PATIENCE_S = 90.0


class Annotator(threading.Thread):
    """One client: takes cards, answers them, now and then takes an answer back; notes what was acknowledged."""

    def __init__(self, address: str, number: int, stop_at: float, scene: str) -> None:
        super().__init__(name=f"annotator-{number}")
        self.client = Client(address, verbose=False)
        self.wanted: dict[str, Any] = {
            "scene": scene,
            "queue": "random",
            "annotator": f"person {number}",
            "session": f"page{number}",
        }
        self.stop_at = stop_at
        self.labels: list[int] = []
        self.undone: list[int] = []
        self.refused: list[str] = []
        self.answered: list[Any] = []
        self.crew: list[Annotator] = [self]

    def kept(self) -> set[frozenset[tuple[str, int]]]:
        """Return the pairs that this client labelled; without those that it took back, which may go to somebody else."""
        said = zip(self.labels, self.answered, strict=True)
        return {frozenset([(pair[0], pair[1]), (pair[2], pair[3])]) for label, pair in said if label not in self.undone}

    def goes_on(self) -> bool:
        """Whether there is time left, or the crew has too few labels to tell anything."""
        has_enough = sum(len(person.labels) for person in self.crew) >= ENOUGH
        return time.monotonic() < self.stop_at + (0 if has_enough else PATIENCE_S)

    def run(self) -> None:
        while self.goes_on():
            got = self.ask("next_cards", count=2, blind=True)
            cards = got.get("cards", [])
            if not cards:
                # Nothing is free: label an own pair anew, as somebody does who changes their mind. One that was taken back is not
                # their own any more.
                said = zip(self.labels, self.answered, strict=True)
                cards = [{"pair": pair} for label, pair in said if label not in self.undone][-1:]
                time.sleep(0.05)
            for card in cards:
                answer = self.ask(
                    "answer", pair=card["pair"], decision="same" if len(self.labels) % 3 else "different", seconds=1.0
                )
                if "label" in answer:
                    self.labels.append(answer["label"])
                    self.answered.append(card["pair"])
                if len(self.labels) % 5 == 4 and self.labels and self.labels[-1] not in self.undone:
                    back = self.ask("undo", label=self.labels[-1])
                    if "error" not in back:
                        self.undone.append(self.labels[-1])

    def ask(self, name: str, **more: Any) -> dict[str, Any]:
        got = self.client.predict({**self.wanted, **more}, api_name=f"/review_{name}")
        if "error" in got:
            self.refused.append(got["error"])
        return got


def label_for(seconds: float, address: str, *, clients: int = CLIENTS, scene: str = NAME) -> list[Annotator]:
    """Run the clients for some seconds; returns them with what they noted."""
    people = [Annotator(address, number, 0.0, scene) for number in range(clients)]
    for person in people:
        person.crew = people
        person.stop_at = time.monotonic() + seconds
        person.start()
    for person in people:
        person.join()
    return people


def check_rows(store: LabelStore, people: list[Annotator]) -> None:
    """Compare the database with what the clients were told."""
    rows = store.history()
    acknowledged = [label for person in people for label in person.labels]
    undone = [label for person in people for label in person.undone]
    assert [error for person in people for error in person.refused] == []
    assert len(rows) == len(acknowledged) + len(undone)
    assert Counter(row.id for row in rows if row.undoes is None) == Counter(acknowledged)
    assert Counter(row.undoes for row in rows if row.undoes is not None) == Counter(undone)


def pairs_of_two(people: list[Annotator]) -> list[frozenset[tuple[str, int]]]:
    """Return the pairs that more than one client labelled without taking it back."""
    return [pair for pair, count in Counter(pair for person in people for pair in person.kept()).items() if count > 1]


def test_twenty_clients_end_with_as_many_rows_as_acknowledgements(tmp_path: Path) -> None:
    write_tiny_room(tmp_path / "scenes")
    database = tmp_path / "labels.db"
    with running_app(database, "--scenes", str(tmp_path / "scenes")) as address:
        people = label_for(SECONDS, address)
    check_rows(LabelStore(open_database(str(database))), people)
    assert sum(len(person.labels) for person in people) >= ENOUGH
    # Pairs of the tiny room run out; who then gets none labels an own pair anew.
    assert sum(bool(person.kept()) for person in people) > 1, "several got pairs, so that one could have gone to two"
    assert pairs_of_two(people) == []
