"""Labels with many clients through a running app's HTTP API: `python -m tests.bench.bench_review_load [--seconds 60]`.

Prints labels a second, and fails unless the database ends with exactly as many rows as were acknowledged.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from db.labels.store import LabelStore
from db.schema.session import open_database
from tests.bench.tiny_sizes import add_tiny_option, tiny_scene
from tests.browser.app_process import running_app
from tests.e2e.test_review_load import CLIENTS, check_rows, label_for, pairs_of_two


def main(given: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    if arguments.tiny:
        arguments.seconds, arguments.clients = 2.0, 2
    with tempfile.TemporaryDirectory() as scratch, tiny_scene() as small:
        database = Path(scratch) / "labels.db"
        scene, flags = (small.name, ("--scenes", str(small.parent))) if arguments.tiny else ("sh3d_living", ())
        with running_app(database, *flags) as address:
            people = label_for(arguments.seconds, address, clients=arguments.clients, scene=scene)
        check_rows(LabelStore(open_database(str(database))), people)
        total, undone = (sum(len(getattr(person, name)) for person in people) for name in ("labels", "undone"))
        print(
            f"{arguments.clients} clients, {arguments.seconds:.0f} s: {total} labels and {undone} undos acknowledged, "
            f"{total + undone} rows, {total / arguments.seconds:.1f} labels a second; "
            f"{len(pairs_of_two(people))} pairs went to two people"
        )


if __name__ == "__main__":
    main()
