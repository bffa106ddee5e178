"""The transformers judge: its probability is the model's own, prompts come by name, bad models say what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from engine.assets import BUNDLED_MODEL
from engine.errors import ModelError
from engine.judging.base import CropPair, Judge, load_prompt, parse_prompt, prompt_names
from engine.judging.local.qwen_vl import answer_token_ids
from engine.judging.registry import load_judge


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge("base", both_orders=False)


def crops(seed: int, count: int) -> list[np.ndarray]:
    """Blocks of colour on black, of odd sizes and shapes."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        height, width = rng.integers(24, 200, size=2)
        crop = np.zeros((height, width, 3), np.uint8)
        crop[8:-8, 8:-8] = rng.integers(0, 255, size=(height - 16, width - 16, 3)) // 2 + rng.integers(0, 120, size=3)
        made.append(crop)
    return made


def test_probability_equals_the_plain_path(judge: Judge) -> None:
    """Against the model asked by hand: messages with images, no batch, full logits, a softmax over all yes and no tokens."""
    model = AutoModelForImageTextToText.from_pretrained(BUNDLED_MODEL, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(BUNDLED_MODEL)
    images = crops(0, 8)
    pairs = [CropPair(images[i], images[i + 1]) for i in range(0, 8, 2)]
    verdicts = judge.judge(pairs)
    vocabulary = processor.tokenizer.get_vocab()
    yes = [vocabulary[word] for word in ("yes", "Yes") if word in vocabulary]
    no = [vocabulary[word] for word in ("no", "No") if word in vocabulary]
    for pair, verdict in zip(pairs, verdicts, strict=True):
        content = [{"type": "image", "image": Image.fromarray(image)} for image in (pair.a, pair.b)]
        content.append({"type": "text", "text": load_prompt("original").text})
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        with torch.inference_mode():
            probabilities = model(**inputs).logits[0, -1].softmax(dim=-1)
        p_yes, p_no = float(probabilities[yes].sum()), float(probabilities[no].sum())
        assert verdict.p_same == pytest.approx(p_yes / (p_yes + p_no), abs=1e-3)
        assert verdict.ambiguity == pytest.approx(1 - p_yes - p_no, abs=1e-3)


def test_batching_changes_nothing(judge: Judge) -> None:
    images = crops(1, 12)
    pairs = [CropPair(images[i], images[i + 1]) for i in range(0, 12, 2)]
    together = [verdict.p_same for verdict in judge.judge(pairs)]
    alone = [judge.judge([pair])[0].p_same for pair in pairs]
    assert together == pytest.approx(alone, abs=1e-3)


def test_both_orders_are_averaged_as_logits(judge: Judge) -> None:
    images = crops(3, 6)
    pairs = [CropPair(images[i], images[i + 1]) for i in range(0, 6, 2)]
    forward = [verdict.p_same for verdict in judge.judge(pairs)]
    backward = [verdict.p_same for verdict in judge.judge([CropPair(pair.b, pair.a) for pair in pairs])]
    for p, q, verdict in zip(forward, backward, load_judge("base", both_orders=True).judge(pairs), strict=True):
        mean = (np.log(p / (1 - p)) + np.log(q / (1 - q))) / 2
        assert verdict.p_same == pytest.approx(1 / (1 + np.exp(-mean)), abs=1e-3)
        assert verdict.swap_disagreement == pytest.approx(abs(p - q), abs=1e-3)


def test_no_pairs_no_verdicts(judge: Judge) -> None:
    assert judge.judge([]) == []


def test_verdict_carries_its_origin(judge: Judge) -> None:
    first, second = crops(2, 2)
    verdict = judge.judge([CropPair(first, second)])[0]
    assert (verdict.model, verdict.prompt) == ("base", "original@1")
    assert verdict.answer == ("same" if verdict.p_same >= 0.5 else "different")
    assert verdict.latency_s > 0


def test_answer_tokens_are_single_and_disjoint() -> None:
    tokenizer = AutoProcessor.from_pretrained(BUNDLED_MODEL).tokenizer
    yes, no = answer_token_ids(tokenizer, ["yes", "Yes"]), answer_token_ids(tokenizer, ["no", "No"])
    assert yes
    assert no
    assert not set(yes) & set(no)


def test_original_prompt_is_as_the_original_asked() -> None:
    assert load_prompt("original").text.startswith("Do these two image regions belong to the same physical object")


def test_unknown_prompt_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"no prompt 'nope'; the prompts are .*original"):
        load_prompt("nope")


def test_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is no model: it has no config\.json"):
        load_judge(str(tmp_path))


def test_broken_model_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "qwen3_vl"}')
    with pytest.raises(ModelError, match="has no weights in safetensors files") as caught:
        load_judge(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nothing", "./not/there", "a/b/c"])
def test_names_that_are_neither_folder_nor_hub_id(name: str) -> None:
    with pytest.raises(ModelError, match="There is no model"):
        load_judge(name)


def test_every_prompt_names_its_version_and_pictures_and_asks_for_yes_or_no() -> None:
    prompts = [load_prompt(name) for name in prompt_names()]
    assert [prompt.picture for prompt in prompts] == ["blurred", "outlined", "on_black", "whole_view"]
    for prompt in prompts:
        assert prompt.reference == f"{prompt.name}@{prompt.version}"
        assert "yes or no" in prompt.text
        assert prompt.forced_text.startswith(prompt.text)
        assert "{" not in prompt.forced_text  # nothing is filled in, the true label least of all


@pytest.mark.parametrize(
    "content",
    [
        "Same?",
        "version: 1\npicture: on_black\n---\nSame?",
        "version: x\npicture: on_black\n---\na\n---\nb",
        "version: 1\n---\na\n---\nb",
    ],
)
def test_a_prompt_of_another_form_is_refused(content: str) -> None:
    with pytest.raises(ModelError, match="'mine' has another form"):
        parse_prompt("mine", content)
