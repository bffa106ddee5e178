"""Fixtures shared by all tests: the bundled room, and a tiny room that each test may break."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.assets import SCENES_DIR
from engine.scenes import folders, open_scene
from engine.types import Scene
from tests.hidden_gpu import pytest_configure as pytest_configure
from tests.not_tested import pytest_terminal_summary as pytest_terminal_summary
from tests.tiny_room import write_tiny_room


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives as long as the tests: half a second of every collection, and judges ask for many."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the labels, runs, thresholds and calibrations of whoever runs the tests out of them, and the tests' out of theirs."""
    folder = tmp_path_factory.mktemp("data-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def links_as_before() -> Iterator[None]:
    """Forget which folders links may lead into: a command says it for its whole process, here that of all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "_allowed", folders._allowed)  # pyright: ignore[reportPrivateUsage]
        # Set and taken away again, so that it is remembered as it was, also where it was not there.
        before = os.environ.get(folders.LINKS_VARIABLE)
        patch.setenv(folders.LINKS_VARIABLE, before or "")
        if before is None:
            patch.delenv(folders.LINKS_VARIABLE)
        yield


@pytest.fixture(scope="session")
def bundled_scenes() -> Path:
    """Folder of the bundled scenes."""
    return SCENES_DIR


@pytest.fixture(scope="session")
def living_room(bundled_scenes: Path) -> Scene:
    """The bundled living room, opened once."""
    return open_scene(bundled_scenes / "sh3d_living")


@pytest.fixture
def tiny_room(tmp_path: Path) -> Path:
    """A fresh replica scene folder `tiny` of three 32x24 views: a room of 20 vertices with two boxes."""
    return write_tiny_room(tmp_path / "scenes")
