"""What is set before Unsloth is imported. Stood in for by an empty module: it imports nothing without an NVIDIA driver."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

from engine.errors import ModelError
from engine.judging.local.unsloth_import import COMPILED, import_fast_vision_model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's cache folder, in an environment that is as it was afterwards."""
    unsloth = ModuleType("unsloth")
    unsloth.FastVisionModel = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "unsloth", unsloth)
    with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(tmp_path / "cache"), COMPILED: ""}):
        yield tmp_path / "cache"


def test_it_compiles_into_a_folder_of_the_user_alone(cache: Path) -> None:
    folder = cache / "maskgroup" / "unsloth"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    import_fast_vision_model()
    assert os.environ[COMPILED] == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_folder_is_made(cache: Path) -> None:
    import_fast_vision_model()
    assert stat.S_IMODE((cache / "maskgroup" / "unsloth").stat().st_mode) == 0o700


def test_a_folder_that_the_user_chose_is_kept(cache: Path) -> None:
    os.environ[COMPILED] = "/chosen/by/the/user"
    import_fast_vision_model()
    assert os.environ[COMPILED] == "/chosen/by/the/user"
    assert not cache.exists()


def test_no_folder_is_one_sentence(cache: Path) -> None:
    cache.write_text("no folder")
    with pytest.raises(ModelError, match=f"Unsloth needs a folder .* cannot be used .*; set {COMPILED} to a folder of your own"):
        import_fast_vision_model()
