"""Writes all that the proof needs beside the repository into one folder of at most 60 MB: `python -m tests.gpu.pack --out FOLDER`.

It holds crops of the bundled room, and what Embree sees of it, so that the machine with the GPU needs neither Embree nor minutes to
make them. Wheels of packages that are missing there can come along (`--wheels`), for a machine without internet.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.errors import MaskgroupError
from engine.files import write_atomically, writing_folder
from tests.gpu import crops, rendered
from tests.gpu.step import Setting

MOST_BYTES = 60_000_000
CONTENTS = "contents.json"
WHEELS = "wheels"


class PackError(MaskgroupError):
    """The folder cannot be written, or would be too large."""


def write_pack(out: Path, *, wheels: Path | None = None, tiny: bool = False, most_bytes: int = MOST_BYTES) -> dict[str, int]:
    """Write the folder, whole or not at all.

    Args:
        out: The folder; one that is there is replaced if it is a pack.
        wheels: A folder whose `*.whl` are taken along.
        tiny: One small view and a few random pictures only.
        most_bytes: Most that all files may have together.

    Returns:
        Bytes of each file, by its path in the folder.

    Raises:
        PackError: If the folder would be larger, holds something else, or there are no wheels.
    """
    if out.exists() and not (out / CONTENTS).is_file():
        raise PackError(f"{out} exists and is no pack, expected a new folder or an older pack; choose another --out.")
    chosen = [] if wheels is None else sorted(wheels.glob("*.whl"))
    if wheels is not None and not chosen:
        raise PackError(f"{wheels} holds no *.whl, expected at least one; fetch them with pip download, or leave --wheels out.")
    with writing_folder(out, replaces=True) as partial:
        crops.write_crops(partial / crops.FILE, *crops.view_pair(Setting(tiny=tiny, folder=partial)))
        rendered.write_room(partial / rendered.FILE, rendered.draw_room(tiny=tiny))
        for wheel in chosen:
            (partial / WHEELS).mkdir(exist_ok=True)
            shutil.copyfile(wheel, partial / WHEELS / wheel.name)
        sizes = {str(path.relative_to(partial)): path.stat().st_size for path in sorted(partial.rglob("*")) if path.is_file()}
        total = sum(sizes.values())
        if total > most_bytes:
            largest = max(sizes, key=lambda name: sizes[name])
            raise PackError(
                f"The pack would have {total / 1e6:.1f} MB, expected at most {most_bytes / 1e6:.0f} MB; leave something out "
                f"(the largest file is {largest}, {sizes[largest] / 1e6:.1f} MB)."
            )
        write_atomically(partial / CONTENTS, {"bytes": sizes, "total_bytes": total})
    return sizes


def main(given: Sequence[str] | None = None) -> None:
    """Write the folder and print the sizes; exit code 2 if it cannot be."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.pack", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--wheels", type=Path, help="a folder of *.whl to take along")
    parser.add_argument("--tiny", action="store_true", help="one small view and a few random pictures only")
    arguments = parser.parse_args(given)
    try:
        sizes = write_pack(arguments.out, wheels=arguments.wheels, tiny=arguments.tiny)
    except (MaskgroupError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    for name, size in sizes.items():
        print(f"{size / 1e6:8.2f} MB  {name}")
    print(f"{sum(sizes.values()) / 1e6:8.2f} MB  in all, of at most {MOST_BYTES / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
