"""A person's ten photos with masks: imported, grouped and exported by commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.command_line import run_command
from tests.photo_rooms import textured_views, write_photos


def test_ten_photos_run_through(tmp_path: Path) -> None:
    made = write_photos(tmp_path / "made", textured_views(), masks=True)
    photos = write_photos(tmp_path / "photos", textured_views())
    shutil.move(made / "masks", photos / "masks")
    imported = run_command("import", str(photos), "--out", str(tmp_path / "room"), "--json")
    assert imported.code == 0, imported.err
    assert '"format": "colmap"' in imported.out
    grouped = run_command("group", str(tmp_path / "room"), "--out", str(tmp_path / "groups"))
    assert grouped.code == 0, grouped.err
    assert "cameras of 10 of 10 photos were found" in grouped.out
    metrics = json.loads((tmp_path / "groups" / "metrics.json").read_text())
    assert metrics["found"]["views_placed"] == 10
    # Six sides of the room, of which some are never seen, and four boxes.
    assert 7 <= metrics["groups"] <= 10
    assert (tmp_path / "groups" / "scene.html").exists()
    again = run_command("group", str(tmp_path / "room"), "--out", str(tmp_path / "plain"), "--no-photos")
    assert again.code == 2
    exported = run_command("export", str(tmp_path / "groups"), "--out", str(tmp_path / "taken"))
    assert exported.code == 0, exported.err
