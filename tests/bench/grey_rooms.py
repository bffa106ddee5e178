"""Writes scenes as a grey-scale camera would see them: another kind of picture than the bundled judge was made for.

    python -m tests.bench.grey_rooms SCENE_DIR SCENE_DIR ... --out DIR

Pictures and mesh lose their colours (luma, ITU-R BT.601); everything else stays. For measuring what retraining is worth where the
base is not at home: docs/training.md.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from engine.scenes.ply import read_ply

LUMA = np.array([0.299, 0.587, 0.114])


def write_grey(scene: Path, out: Path) -> Path:
    """Copy a scene in the replica layout to `out`/NAME, grey; returns that folder."""
    made = out / f"grey_{scene.name}"
    shutil.copytree(scene, made, dirs_exist_ok=True)
    for path in (made / "color").glob("*.jpg"):
        Image.open(path).convert("L").convert("RGB").save(path, quality=92)
    old = made / f"{scene.name}_mesh.ply"
    mesh = read_ply(old)
    grey = np.rint(mesh.colors @ LUMA).astype(np.uint8)[:, None].repeat(3, axis=1)
    trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=grey, process=False).export(str(made / f"{made.name}_mesh.ply"))
    old.unlink()
    truth = scene.parent / "ground_truth" / f"{scene.name}.txt"
    (out / "ground_truth").mkdir(exist_ok=True)
    shutil.copyfile(truth, out / "ground_truth" / f"{made.name}.txt")
    return made


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.grey_rooms", description=__doc__)
    parser.add_argument("scenes", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for scene in args.scenes:
        write_grey(scene, args.out)


if __name__ == "__main__":
    main()
