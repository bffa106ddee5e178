"""docs/looks-wrong.md quotes what the check says of a spoiled room, and has a picture of each way to spoil it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bench.draw_misfits import MISFITS, PICTURE, Misfit, draw_from_above, look, write_scene
from tests.docs_blocks import ROOT

PAGE = (ROOT / "docs" / "looks-wrong.md").read_text(encoding="utf-8")
QUOTES = re.findall(r"^> (.+)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("misfits") / "room")


def without_numbers(text: str) -> str:
    return re.sub(r"\d[\d.]*", "#", text)


@pytest.mark.parametrize("misfit", MISFITS, ids=lambda misfit: misfit.name)
def test_the_page_says_what_the_check_says(misfit: Misfit, room: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / misfit.name
    shutil.copytree(room, spoiled)
    misfit.spoil(spoiled)
    frames, level, said = look(spoiled)
    if misfit.name in ("right", "exif"):
        assert (level, said) == ("ok", "")
    else:
        assert level == "doubt"
        quoted = [quote for quote in QUOTES if f"{misfit.topic}: {without_numbers(quote)}" in without_numbers(said)]
        assert len(quoted) == 1, said
    assert f"(images/misfit-{misfit.name}.png)" in PAGE
    drawn = np.asarray(Image.open(ROOT / "docs" / "images" / f"misfit-{misfit.name}.png").convert("RGB"))
    if misfit.name != "exif":
        picture = draw_from_above(frames)
        assert drawn.shape == picture.shape == (PICTURE[1], PICTURE[0], 3)
        # Few colours, so not the same to the bit.
        assert np.abs(drawn.astype(int) - picture).mean() < 6


def test_every_quote_belongs_to_a_misfit() -> None:
    assert len(QUOTES) == sum(misfit.name not in ("right", "exif") for misfit in MISFITS)
