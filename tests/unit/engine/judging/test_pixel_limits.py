"""Pictures of any size: what a model is shown has bounds, and is the same in judging, in training and for a server."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from engine.assets import BUNDLED_MODEL
from engine.judging.base import CropPair, load_prompt
from engine.judging.local.qwen_vl import QwenVlJudge
from engine.judging.pixel_limits import MOST_PIXELS, MOST_STRETCH, fit_picture, own_limit_of
from engine.judging.served.endpoint import AnswerForm, EndpointJudge, ServerAddress
from engine.types import UInt8Array
from finetune.training.lora import Answerer
from tests.other_models import write_llava, write_qwen2_5_vl

SIZES = [
    (1, 1),
    (1, 2),
    (8, 4000),
    (4000, 8),
    (1, 5000),
    (3000, 1),
    (3000, 4000),
    (1024, 1024),
    (1025, 1024),
    (40, 30),
    (1, 70_000),
]
PUBLISHED_SIZE = {"shortest_edge": 65_536, "longest_edge": 16_777_216}
"""What the published Qwen3-VL say in their processors' settings."""


def picture(height: int, width: int) -> UInt8Array:
    return np.random.default_rng(height).integers(1, 255, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("own_limit", [None, 9216, 16_777_216])
def test_bounds_hold(size: tuple[int, int], own_limit: int | None) -> None:
    given = picture(*size)
    shown = fit_picture(given, own_limit=own_limit)
    height, width = shown.shape[:2]
    assert shown.dtype == np.uint8
    # Rounding down to whole pixels may cost a little on the short side.
    assert max(height, width) / min(height, width) <= 1.2 * MOST_STRETCH
    if own_limit != 9216:
        assert height * width <= MOST_PIXELS
    if max(size) <= MOST_STRETCH * min(size) and size[0] * size[1] <= MOST_PIXELS:
        assert shown is given


def test_a_narrow_picture_is_kept_whole_on_black() -> None:
    given = picture(8, 4000)
    shown = fit_picture(given)
    assert shown.shape == (40, 4000, 3)
    np.testing.assert_array_equal(shown[16:24], given)
    assert not shown[:16].any()
    assert not shown[24:].any()


def test_a_processors_own_limit() -> None:
    processor = AutoProcessor.from_pretrained(BUNDLED_MODEL).image_processor
    assert own_limit_of(processor) == 9216
    processor.size = PUBLISHED_SIZE
    assert own_limit_of(processor) == 16_777_216
    large = picture(3000, 2000)
    # The bundled model's processor shrinks at once from the whole picture, as in its training.
    assert fit_picture(large, own_limit=9216) is large


@pytest.fixture(scope="module")
def real() -> tuple[Any, Any]:
    """The bundled model with the published models' limits."""
    processor = AutoProcessor.from_pretrained(BUNDLED_MODEL)
    processor.image_processor.size = PUBLISHED_SIZE
    return AutoModelForImageTextToText.from_pretrained(BUNDLED_MODEL).eval(), processor


class Recorder:
    """Keeps the bodies of requests; answers nothing."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    async def each(self, bodies: list[dict[str, Any]], _read: Any, *, path: str) -> list[Any]:
        self.bodies += bodies
        assert path == "/chat/completions"
        raise ConnectionError


@pytest.mark.parametrize("size", SIZES[:7])
def test_judge_training_and_server_are_shown_the_same(real: tuple[Any, Any], size: tuple[int, int]) -> None:
    model, processor = real
    prompt = replace(load_prompt(), forced="")
    given = picture(*size)
    # Judging: what goes into the tower.
    judge = QwenVlJudge(model, processor, name="real", prompt=prompt)
    seen: list[torch.Tensor] = []
    hook = model.model.visual.patch_embed.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert judge.vision is not None
    judge.vision.clear()
    (verdict,) = judge.judge([CropPair(given, given)])
    hook.remove()
    assert 0 <= verdict.p_same <= 1
    # Training.
    patches = Answerer(model, processor, prompt, trains_vision=True).picture(given).patches
    assert patches is not None
    torch.testing.assert_close(seen[0], patches)
    assert len(patches) <= 4 * 1.1 * MOST_PIXELS / 32**2
    # A server whose model has the same processor.
    recorder: Any = Recorder()
    served: Any = EndpointJudge(ServerAddress("http://x/v1", "real"), recorder, name="s", prompt=prompt, form=AnswerForm(20))
    with pytest.raises(ConnectionError):
        served.judge([CropPair(given, given)])
    url = recorder.bodies[0]["messages"][0]["content"][0]["image_url"]["url"]
    sent = np.array(Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))))
    there = processor.image_processor(images=[sent], input_data_format="channels_last", return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(there, patches)


def test_a_view_of_twelve_megapixels_is_a_thousand_tokens(real: tuple[Any, Any]) -> None:
    model, processor = real
    made = Answerer(model, processor, load_prompt(), trains_vision=True).picture(picture(3000, 4000))
    assert 900 <= made.grid[1] * made.grid[2] // 4 <= 1100


@pytest.mark.parametrize("write", [write_qwen2_5_vl, write_llava])
def test_other_architectures_take_them_too(write: Any, tmp_path: Any) -> None:
    folder = write(tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    judge = QwenVlJudge(model, AutoProcessor.from_pretrained(folder), name="other", prompt=load_prompt())
    made = [picture(1, 1), picture(8, 4000), picture(1, 5000), picture(1500, 1000)]
    assert all(0 <= verdict.p_same <= 1 for verdict in judge.judge([CropPair(a, made[0]) for a in made]))
