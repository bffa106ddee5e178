"""Writes procedural rooms as scene folders with ground truth, for training without scenes of your own.

    python -m finetune.bundled.training_rooms --out DIR --rooms 40 [--furniture DIR --held-out TSV]

Without furniture the rooms hold parametric pieces; with Sweet Home 3D's libraries, its models except held-out and validation ones.
Their seeds differ from those of pretraining and of every measurement.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from engine.scenes.procedural import make_room, write_replica
from finetune.bundled.pretrain_crops import load_pieces

LOG = logging.getLogger(__name__)
FIRST_SEED = 3_000_000


def write_rooms(
    out: Path, count: int, *, furniture: Path | None = None, held_out: Path | None = None, views: int = 12
) -> list[Path]:
    """Write rooms under `out`; those that are there already are kept.

    Args:
        out: Folder of scenes.
        count: How many rooms to write.
        furniture: Folder of .sh3f libraries, or None.
        held_out: List of models that may not be used, as `assets/models/tiny-qwen3-vl/held_out_models.tsv`.
        views: Views of each room, 640x360.

    Returns:
        The scenes' folders.
    """
    names = [f"room_{number:03d}" for number in range(count)]
    missing = [name for name in names if not (out / name / "intrinsics.txt").is_file()]
    pieces = load_pieces(furniture, held_out, "train") if missing and furniture and held_out else []
    for name in missing:
        room = make_room(FIRST_SEED + int(name[5:]), pieces, view_count=views, image_size=(640, 360))
        write_replica(room, out, name)
        LOG.info("wrote %s: %d objects", name, len(room.models))
    return [out / name for name in names]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m finetune.bundled.training_rooms", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rooms", type=int, default=40)
    parser.add_argument("--views", type=int, default=12)
    parser.add_argument("--furniture", type=Path, help="folder of .sh3f libraries")
    parser.add_argument("--held-out", type=Path, help="models that may not be used")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    write_rooms(args.out, args.rooms, furniture=args.furniture, held_out=args.held_out, views=args.views)


if __name__ == "__main__":
    main()
