"""`maskgroup group` on a replica scene and on a person's own masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from tests.command_line import run_command
from tests.grouping_rooms import CAMERA, dining_room
from ui.cli import cli

FILES = {"groups.json", "metrics.json", "instances.ply", "scene.html"}


def write_posed_masks(folder: Path, *, geometry: bool = True) -> Path:
    """Write the dining room with masks numbered from 1 in each view."""
    for name in ("color", "masks", "gt_masks", *(("depth", "poses") if geometry else ())):
        (folder / name).mkdir(parents=True)
    for frame in dining_room()[1]:
        ids = np.zeros(frame.instance_map.shape, np.uint16)
        for number, mask in enumerate(sorted(frame.mask_areas, reverse=True), start=1):
            ids[frame.instance_map == mask] = number
        Image.fromarray(frame.rgb).save(folder / f"color/{frame.view}.png")
        Image.fromarray(ids).save(folder / f"masks/{frame.view}.png")
        Image.fromarray((frame.instance_map + 1).astype(np.uint16)).save(folder / f"gt_masks/{frame.view}.png")
        if geometry:
            assert frame.depth is not None
            assert frame.pose is not None
            Image.fromarray(np.rint(frame.depth * 1000).astype(np.uint16)).save(folder / f"depth/{frame.view}.png")
            np.savetxt(folder / f"poses/{frame.view}.txt", frame.pose)
    if geometry:
        matrix = [[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]]
        np.savetxt(folder / "intrinsics.txt", matrix)
    return folder


def test_own_masks_are_grouped_and_scored(tmp_path: Path) -> None:
    scene = write_posed_masks(tmp_path / "room")
    result = CliRunner().invoke(cli, ["group", str(scene), "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.strip().splitlines()[-1])
    assert report["ari"] >= 0.95
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    groups = json.loads((tmp_path / "out/groups.json").read_text())
    masks = {(m["view"], m["mask"]) for m in groups["masks"]}
    assert masks == {(f.view, k) for f in dining_room()[1] for k in range(1, len(f.mask_areas) + 1)}
    assert all(0 <= m["confidence"] <= 1 for m in groups["masks"])
    assert json.loads((tmp_path / "out/metrics.json").read_text())["calls"] == 0


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    scene = write_posed_masks(tmp_path / "room")
    CliRunner().invoke(cli, ["group", str(scene), "--out", str(tmp_path / "out")])
    page = (tmp_path / "out/scene.html").read_text()
    assert "Plotly.newPlot" in page
    assert 'src="http' not in page


def test_replica_scene(tiny_room: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["group", str(tiny_room), "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.strip().splitlines()[-1])["masks"] > 0


def test_unknown_evidence_and_missing_geometry_are_one_sentence(tmp_path: Path) -> None:
    scene = write_posed_masks(tmp_path / "room", geometry=False)
    wrong = run_command("group", scene, "--out", tmp_path / "a", "--evidence", "luck")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.sentence.startswith("maskgroup: ")
    assert wrong.err.count("\n") == 1
    assert "'luck' is not one of 'geometry', 'vlm', 'both'" in wrong.sentence
    missing = run_command("group", scene, "--out", tmp_path / "b", "--no-photos")
    assert (missing.code, missing.out) == (2, "")
    assert "evidence 'vlm'" in missing.sentence
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_a_mask_of_another_size_is_left_out_and_named(tmp_path: Path) -> None:
    scene = write_posed_masks(tmp_path / "room")
    Image.fromarray(np.ones((10, 10), np.uint16)).save(scene / "masks/3.png")
    done = run_command("group", scene, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "masks/3.png: found 10x10 pixels, expected 160x90" in done.err
    groups = json.loads((tmp_path / "out" / "groups.json").read_text())
    assert [view["view"] for view in groups["left_out"]] == ["3"]
    assert "3" not in {mask["view"] for mask in groups["masks"]}
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["left_out_views"] == 1
