"""What every supported architecture must do, on a tiny random model of each, as the table of docs/backends.md says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from engine.errors import ModelError
from engine.judging.base import CropPair, load_prompt
from engine.judging.calibration.fit import margin_of
from engine.judging.local.qwen_vl import NO_WORDS, YES_WORDS, QwenVlJudge, answer_token_ids
from engine.judging.registry import load_judge
from finetune.config import TrainConfig
from finetune.training.lora import LANGUAGE_LAYERS, Answerer, Question, add_adapter, load_base
from tests.docs_blocks import ROOT
from tests.model_process import write_adapter
from tests.other_models import MODELS

PROMPT = load_prompt("original")
CONTRACT_HEAD = "| models | judged | each crop encoded once | adapters | trained here |"
ROUNDING = 1e-5
"""Of P(same), where sums are added in another order."""


@dataclass(frozen=True)
class Promise:
    """A row of the table: what is said of a model beside that it is judged."""

    caches: bool
    trains: bool


def promises() -> dict[str, Promise]:
    """Read the table."""
    lines = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8").splitlines()
    found: dict[str, Promise] = {}
    for line in lines[lines.index(CONTRACT_HEAD) + 2 :]:
        if not line.startswith("|"):
            break
        name, judged, caches, adapters, trains = (cell.strip() for cell in line.strip("|").split("|"))
        assert (judged, adapters) == ("yes", "yes"), line
        assert {caches, trains} <= {"yes", "no"}, line
        found[name] = Promise(caches == "yes", trains == "yes")
    return found


def pairs(count: int) -> list[CropPair]:
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 255, size=(*rng.integers(30, 120, size=2), 3)).astype(np.uint8) for _ in range(2 * count)]
    return [CropPair(a, b) for a, b in zip(crops[::2], crops[1::2], strict=True)]


PAIRS = pairs(3)


def answers(judge: Any) -> list[float]:
    """P(same) of all pairs in one order."""
    return [verdict.p_same for verdict in judge.judge(PAIRS, both_orders=False)]


def by_hand(folder: Path, pair: CropPair, question: str) -> float:
    """P(same) of the model asked as transformers' own documentation does it, one pair, the forced question where it is one."""
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    processor: Any = AutoProcessor.from_pretrained(folder)
    content: list[dict[str, Any]] = [{"type": "image", "image": Image.fromarray(image)} for image in (pair.a, pair.b)]
    messages = [{"role": "user", "content": [*content, {"type": "text", "text": question}]}]
    inputs = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.inference_mode():
        probabilities = model(**inputs).logits[0, -1].softmax(dim=-1)
    yes, no = (float(probabilities[answer_token_ids(processor.tokenizer, words)].sum()) for words in (YES_WORDS, NO_WORDS))
    return yes / (yes + no)


def test_the_table_names_the_models_that_are_tested() -> None:
    assert list(promises()) == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_judged(name: str, tmp_path: Path) -> None:
    """As transformers computes it, in batches as alone, in both orders, and with an adapter that is saved and loaded."""
    folder = MODELS[name](tmp_path / "model")
    judge = load_judge(str(folder), prompt="original")
    assert isinstance(judge, QwenVlJudge)
    assert (judge.vision is not None) == promises()[name].caches

    verdicts = judge.judge(PAIRS, both_orders=False)
    first = verdicts[0]
    question = PROMPT.forced_text if first.forced else PROMPT.text
    assert first.p_same == pytest.approx(by_hand(folder, PAIRS[0], question), abs=1e-3)
    together = [verdict.p_same for verdict in verdicts]
    assert [judge.judge([pair], both_orders=False)[0].p_same for pair in PAIRS] == pytest.approx(together, abs=ROUNDING)

    turned = [v.p_same for v in judge.judge([CropPair(pair.b, pair.a) for pair in PAIRS], both_orders=False)]
    assert max(abs(a - b) for a, b in zip(together, turned, strict=True)) > ROUNDING
    for a, b, both in zip(together, turned, judge.judge(PAIRS, both_orders=True), strict=True):
        assert margin_of(both.p_same) == pytest.approx((margin_of(a) + margin_of(b)) / 2, abs=1e-4)
        assert both.swap_disagreement == pytest.approx(abs(a - b), abs=ROUNDING)

    adapter = write_adapter(tmp_path / "adapter", base=folder, targets=LANGUAGE_LAYERS)
    adapted = answers(load_judge(str(adapter), prompt="original"))
    assert max(abs(a - b) for a, b in zip(adapted, together, strict=True)) > 1e-3
    assert answers(load_judge(str(adapter), prompt="original")) == pytest.approx(adapted, abs=ROUNDING)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_trained_or_refused(name: str, tmp_path: Path) -> None:
    """A step changes the answers, and what is saved answers like what was trained; others are refused in a sentence."""
    folder = MODELS[name](tmp_path / "model")
    config = TrainConfig(scenes=("x",), model=str(folder), device="cpu", rank=2, alpha=8, dropout=0.0)
    if not promises()[name].trains:
        with pytest.raises(ModelError, match="only Qwen3-VL models can be trained") as caught:
            load_base(config)
        assert "\n" not in str(caught.value)
        return
    base, processor, _ = load_base(config)
    model = add_adapter(base, config)
    answerer = Answerer(model, processor, PROMPT, trains_vision=True)
    questions = [Question(answerer.picture(p.a), answerer.picture(p.b), is_same=i % 2 == 0) for i, p in enumerate(PAIRS)]
    before = answers(load_judge(str(folder), prompt="original"))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    losses: list[float] = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = answerer.loss(questions)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[1] != losses[0]
    model.save_pretrained(tmp_path / "trained")
    with torch.no_grad():
        yes, no = answerer.log_odds(questions)
    after = load_judge(str(tmp_path / "trained"), prompt="original")
    assert max(abs(a - b) for a, b in zip(answers(after), before, strict=True)) > 1e-4
    # Without the second question, which a training does not ask.
    after.prompt = type(PROMPT)(PROMPT.name, PROMPT.text)  # pyright: ignore[reportAttributeAccessIssue]
    assert [margin_of(p) for p in answers(after)] == pytest.approx((yes - no).tolist(), abs=1e-3)
