"""The manifest names every bundled file with its true hash, source and licence."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.assets import ASSETS_DIR
from engine.errors import SceneError
from engine.manifest import make_manifest


def test_manifest_is_current() -> None:
    written = (ASSETS_DIR / "MANIFEST.tsv").read_text(encoding="utf-8")
    assert written == make_manifest(), "assets changed: run python -m engine.manifest"


def test_unattributed_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "a.txt").write_text("a")
    assert "scenes/a.txt\tca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\t1\t" in make_manifest(tmp_path)
    (tmp_path / "stray.bin").write_text("b")
    with pytest.raises(SceneError, match=r"stray\.bin: belongs to no bundle"):
        make_manifest(tmp_path)
