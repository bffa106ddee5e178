"""Flags win over the environment, the environment over defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.assets import SCENES_DIR
from ui.settings import Settings


def test_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SCENES", "DB", "HOST", "PORT", "MODEL"):
        monkeypatch.delenv(f"MASKGROUP_{name}", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    settings = Settings()
    assert settings.scenes == SCENES_DIR
    assert settings.host == "127.0.0.1"
    assert settings.db == str(tmp_path / "maskgroup" / "labels.db")


def test_flag_over_environment_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_PORT", "8001")
    monkeypatch.setenv("MASKGROUP_DB", "sqlite:///x.db")
    assert Settings().port == 8001
    assert Settings(port=9000).port == 9000
    assert Settings().db == "sqlite:///x.db"


def test_usual_folder_is_known_behind_a_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    monkeypatch.delenv("MASKGROUP_DB", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    assert Settings().is_in_usual_folder
    assert Settings(db="postgresql://somewhere/labels").is_in_usual_folder
    assert not Settings(db=str(tmp_path / "labels.db")).is_in_usual_folder
