"""Breaks many scene folders and counts how reading them ends: python -m tests.fuzz.run --count 500 --seed 0

Exit code 1 if any of them is more than a scene or a sentence, takes longer than 5 s, or more than 1 GB.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from engine.scenes import open_scene, survey_scenes
from tests.fuzz.mutations import mutate
from tests.fuzz.probe import Outcome, probe
from tests.fuzz.whole_scenes import READERS, write_whole

GOOD = "whole"


def run_reader(
    reader: str, count: int, seed: int, *, only: int | None = None, keep: Path | None = None
) -> list[tuple[int, list[str], Outcome]]:
    """Break and read `count` folders of a reader; returns the number, the mutations and the outcome of each."""
    found: list[tuple[int, list[str], Outcome]] = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        base = Path(temporary).resolve()
        whole = write_whole(reader, base / "base")
        assert reader.startswith(open_scene(whole).format)
        scenes = base / "scenes"
        shutil.copytree(whole, scenes / GOOD)
        assert [info.name for info in survey_scenes(scenes).scenes] == [GOOD]
        for number in range(count) if only is None else (only,):
            rng = random.Random(f"{seed}/{reader}/{number}")
            folder = scenes / whole.name
            shutil.copytree(whole, folder)
            labels = whole.parent / "ground_truth"
            if labels.is_dir():
                shutil.copytree(labels, scenes / "ground_truth")
            done = mutate(rng, folder if rng.random() < 0.9 or not labels.is_dir() else scenes / "ground_truth")
            found.append((number, done, probe(folder, others=(GOOD,))))
            if keep is not None:
                shutil.copytree(scenes, keep, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(folder)
            shutil.rmtree(scenes / "ground_truth", ignore_errors=True)
    return found


def main() -> None:
    """Run it and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="folders for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=READERS)
    parser.add_argument("--only", type=int, help="one folder by its number")
    parser.add_argument("--keep", type=Path, help="copy the folder there")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    bad = 0
    print(f"{'reader':<14} {'folders':>7} {'read':>5} {'refused':>7} {'bad':>4} {'most CPU s':>10} {'most MB':>8}")
    for reader in (given.reader,) if given.reader else READERS:
        found = run_reader(reader, given.count, given.seed, only=given.only, keep=given.keep)
        endings = Counter(outcome.ending for _, _, outcome in found)
        wrong = [row for row in found if row[2].ending not in ("read", "refused")]
        bad += len(wrong)
        cpu, memory = max(outcome.cpu_s for _, _, outcome in found), max(outcome.memory for _, _, outcome in found) / 1e6
        print(
            f"{reader:<14} {len(found):>7} {endings['read']:>5} {endings['refused']:>7} {len(wrong):>4} {cpu:>10.2f} {memory:>8.0f}"
        )
        for number, done, outcome in wrong[:20]:
            print(f"  number {number} ({', '.join(done)}): {outcome.ending}, {outcome.cpu_s:.1f} s\n{outcome.said}")
        if given.only is not None:
            print(found[0])
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
