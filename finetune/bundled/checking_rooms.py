"""Writes procedural rooms to calibrate on, of the kind that judges are checked on, from seeds that nothing else uses."""

from __future__ import annotations

from pathlib import Path

from engine.scenes.procedural import make_room, write_replica
from finetune.bundled.pretrain_crops import load_pieces

FIRST_SEED = 4_000_000


def write_checking_rooms(out: Path, count: int, *, furniture: Path | None = None, held_out: Path | None = None) -> list[Path]:
    """Write rooms under `out`; those that are there already are kept.

    Args:
        out: Folder of scenes; one folder serves one choice of furniture.
        count: How many rooms to write.
        furniture: Folder of .sh3f libraries whose validation models furnish the rooms beside parametric pieces, or None.
        held_out: List of models that may not be used; needed with `furniture`.

    Returns:
        The scenes' folders.
    """
    names = [f"check_{number:03d}" for number in range(count)]
    missing = [name for name in names if not (out / name / "intrinsics.txt").is_file()]
    pieces = load_pieces(furniture, held_out, "val") if missing and furniture and held_out else []
    for name in missing:
        room = make_room(FIRST_SEED + int(name.removeprefix("check_")), pieces, view_count=10, image_size=(640, 360))
        write_replica(room, out, name)
    return [out / name for name in names]
