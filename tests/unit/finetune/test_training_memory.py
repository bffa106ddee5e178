"""Less memory in training with the same gradients; steps in parts; what a training needs is said before it begins, and truly."""

from __future__ import annotations

import itertools
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from engine.assets import BUNDLED_MODEL
from engine.errors import MaskgroupError, RunError
from engine.judging.base import CropPair, load_prompt
from engine.judging.calibration.fit import margin_of
from engine.judging.local.published import PUBLISHED_SIZES
from engine.judging.registry import load_judge
from engine.judging.shapes import ModelShape
from engine.judging.sources import LoadOptions
from engine.strict_json import to_json_text
from finetune.config import TrainConfig
from finetune.run_folder import CONFIG_FILE
from finetune.runs import stages
from finetune.runs.stages import TrainingRun, save_adapter
from finetune.runs.worker import explain
from finetune.training import memory_needs
from finetune.training.base import prompt_of
from finetune.training.loop import Trainer
from finetune.training.lora import (
    Answerer,
    Question,
    add_adapter,
    keep_inputs_only,
    load_base,
    trained_weights,
)
from finetune.training.memory_needs import (
    Footprint,
    adapter_values,
    check_fit,
    examine_fit,
    keeps_language,
    keeps_tower,
    needed_for_training,
)
from tests.published_configs import read_published
from tests.training_room import write_training_room

CONFIG = TrainConfig(scenes=("any",), device="cpu", batch_pairs=4, dropout=0.1)


def crop(seed: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (size, size, 3)).astype(np.uint8)


def make_questions(answerer: Answerer, count: int = 3) -> list[Question]:
    pictures = [answerer.picture(crop(i)) for i in range(count)]
    return [Question(a, b, a is b, weight=1.0 + i) for i, a in enumerate(pictures) for b in pictures]


def gradients(config: TrainConfig, *, recompute: bool, most: int = 10**6, size: int | None = None) -> tuple[dict[str, Tensor], int]:
    """Return the gradients of a fresh adapter, and how many bytes were kept for them."""
    base, processor, _ = load_base(config)
    if size is not None:
        processor.image_processor.size = {"shortest_edge": 32 * 32, "longest_edge": size * size}
    model = add_adapter(base, config)
    # An adapter begins with B = 0, at which A has no gradient.
    for name, weight in trained_weights(model).items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    if recompute:
        keep_inputs_only(model)
    answerer = Answerer(model.train(), processor, prompt_of(config), trains_vision=not config.language_only)
    if size is None:
        questions = make_questions(answerer)
    else:
        questions = [Question(answerer.picture(crop(i, 32 * (i + 1))), answerer.picture(crop(9 - i, 64)), True) for i in range(4)]
    prepared = {id(p): f for q in questions for p, f in zip((q.a, q.b), answerer.with_features([q.a, q.b]), strict=True)}
    questions = [replace(q, a=prepared[id(q.a)], b=prepared[id(q.b)]) for q in questions]
    weights = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, int] = {}
    held: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()
        if place.data_ptr() not in weights:
            kept[place.data_ptr()] = place.nbytes()
            # Alive, so that no other tensor takes its place.
            held.append(tensor)
        return tensor

    torch.manual_seed(1)
    total = sum(question.weight for question in questions)
    for part in answerer.split([[question] for question in questions], most):
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            loss = answerer.loss(part)
        (loss * sum(question.weight for question in part) / total).backward()
    found = {name: weight.grad.clone() for name, weight in trained_weights(model).items() if weight.grad is not None}
    return found, sum(kept.values())


@pytest.mark.parametrize("language_only", [False, True])
@pytest.mark.parametrize("size", [None, 128])
def test_recomputing_layers_gives_the_same_gradients_with_less_memory(language_only: bool, size: int | None) -> None:
    """With dropout, whose noise must be the same in both passes; of the tower's own batches too, with pictures of many sizes."""
    config = replace(CONFIG, language_only=language_only)
    plain, kept = gradients(config, recompute=False, size=size)
    again, kept_again = gradients(config, recompute=True, size=size)
    assert plain.keys() == again.keys()
    assert any("visual" in name for name in plain) != language_only
    assert all(gradient.abs().sum() > 0 for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, atol=1e-6, rtol=1e-5)
    assert kept_again < kept / 3


def test_a_step_in_parts_gives_the_gradients_of_the_whole() -> None:
    config = replace(CONFIG, dropout=0.0)
    whole, _ = gradients(config, recompute=False)
    for most in (1, 150, 300):
        parts, _ = gradients(config, recompute=True, most=most)
        for name, gradient in whole.items():
            torch.testing.assert_close(parts[name], gradient, atol=1e-6, rtol=1e-3)


def make_trainer(config: TrainConfig) -> Trainer:
    base, processor, _ = load_base(config)
    model = add_adapter(base, config)
    if config.recomputes:
        keep_inputs_only(model)
    answerer = Answerer(model, processor, prompt_of(config), trains_vision=True)
    questions = make_questions(answerer)
    return Trainer(answerer, config, [[question] for question in questions], questions[:4], None)


def test_a_training_in_parts_goes_as_the_whole_does() -> None:
    losses: list[list[float]] = []
    held: list[float] = []
    for tokens in (10**6, 200):
        trainer = make_trainer(replace(CONFIG, dropout=0.0, gradient_checkpointing="on", pass_tokens=tokens))
        losses.append([])
        trainer.run(on_step=lambda report: losses[-1].append(report.loss), on_held=lambda point: held.append(point.loss))
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert held[: len(held) // 2] == pytest.approx(held[len(held) // 2 :], abs=1e-4)


@pytest.mark.parametrize("most", [1, 100, 130, 500, 10**6])
def test_parts_hold_at_most_so_many_tokens(most: int) -> None:
    model, processor, _ = load_base(CONFIG)
    processor.image_processor.size = {"shortest_edge": 32 * 32, "longest_edge": 128 * 128}
    answerer = Answerer(model, processor, prompt_of(CONFIG), trains_vision=True)
    pictures = [answerer.picture(crop(i, 32 * (1 + i % 4))) for i in range(6)]
    groups = [[Question(a, b, True), Question(b, a, True)] for a, b in itertools.pairwise(pictures)]
    parts = answerer.split(groups, most)
    assert [id(question) for part in parts for question in part] == [id(question) for group in groups for question in group]
    for part in parts:
        assert len(part) == 2 or len(part) * max(answerer.length(question) for question in part) <= most
    if most == 10**6:
        assert len(parts) == 1


def test_layers_are_recomputed_except_for_the_bundled_model() -> None:
    assert not CONFIG.recomputes
    assert replace(CONFIG, gradient_checkpointing="on").recomputes
    assert replace(CONFIG, model="Qwen/Qwen3-VL-2B-Instruct").recomputes
    assert not replace(CONFIG, model="Qwen/Qwen3-VL-2B-Instruct", gradient_checkpointing="off").recomputes
    with pytest.raises(RunError, match="gradient_checkpointing is 'perhaps', expected auto, on, off"):
        replace(CONFIG, gradient_checkpointing="perhaps")  # type: ignore[arg-type]
    with pytest.raises(RunError, match="dtype is 'float16', expected auto, float32, bfloat16"):
        replace(CONFIG, dtype="float16")  # type: ignore[arg-type]


def kept_by(layers: int, depth: int) -> tuple[int, int, int, ModelShape]:
    """Return the bytes kept by a model of 2B's widths with random weights, its tokens, its patches, and its shape."""
    bundled = Qwen3VLConfig.from_pretrained(BUNDLED_MODEL).to_dict()
    shapes = read_published("2B") | {name: bundled[name] for name in bundled if name.endswith("_token_id")}
    shapes["text_config"] |= {"num_hidden_layers": layers, "vocab_size": bundled["text_config"]["vocab_size"]}
    shapes["vision_config"] |= {"depth": depth, "deepstack_visual_indexes": []}
    config = Qwen3VLConfig.from_dict(shapes)
    with torch.device("meta"):
        empty = Qwen3VLForConditionalGeneration(config).to(torch.bfloat16)
    # Numbers do not matter, only what is kept; rotary tables are no weights and must be right.
    model: Any = empty.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.01)
        for buffer in model.buffers():
            buffer.fill_(0.5)
    processor = AutoProcessor.from_pretrained(BUNDLED_MODEL)
    processor.image_processor.size = {"shortest_edge": 128 * 128, "longest_edge": 128 * 128}
    tuned = add_adapter(model, replace(CONFIG, dropout=0.05)).train()
    answerer = Answerer(tuned, processor, load_prompt(), trains_vision=True)
    a, b = answerer.picture(crop(0)), answerer.picture(crop(1))
    questions = [Question(a, b, True), Question(b, a, True)]
    weights = {tensor.untyped_storage().data_ptr() for tensor in [*tuned.parameters(), *tuned.buffers()]}
    kept: dict[int, tuple[int, Tensor]] = {}

    def note(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()
        if place.data_ptr() not in weights:
            kept[place.data_ptr()] = place.nbytes(), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        answerer.loss(questions)
    patches = sum(len(p.patches) for p in (a, b) if p.patches is not None)
    return sum(size for size, _ in kept.values()), 2 * answerer.length(questions[0]), patches, ModelShape.of(config)


def test_what_a_layer_keeps_is_what_the_estimate_says() -> None:
    one, tokens, patches, shape = kept_by(1, 1)
    deeper, higher = kept_by(2, 1)[0], kept_by(1, 2)[0]
    assert (deeper - one) / tokens == pytest.approx(keeps_language(shape, 2), rel=0.05)
    assert (higher - one) / patches == pytest.approx(keeps_tower(shape, 2), rel=0.05)


@pytest.mark.parametrize("language_only", [False, True])
def test_the_adapters_numbers_are_counted_right(language_only: bool) -> None:
    config = replace(CONFIG, language_only=language_only)
    base, _, _ = load_base(config)
    shape = ModelShape.of(base.config)
    held = sum(weight.numel() for weight in trained_weights(add_adapter(base, config)).values())
    assert adapter_values(shape, config.rank, language_only=language_only) == pytest.approx(held, rel=0.02)


def test_the_sizes_fit_the_cards_that_people_have() -> None:
    usual = TrainConfig(scenes=("any",), model="Qwen/Qwen3-VL-8B-Instruct")
    two, _, eight = (Footprint(size.shape, size.values, size.quantised) for size in PUBLISHED_SIZES)
    assert needed_for_training(eight, usual, 2) < 40e9
    assert needed_for_training(eight, replace(usual, four_bit=True), 2) < 16e9
    assert needed_for_training(two, usual, 2) < 10e9
    # As it was: every activation kept, the whole step at once (32 questions of about 300 tokens).
    assert needed_for_training(eight, replace(usual, gradient_checkpointing="off", pass_tokens=9600), 2) > 100e9
    # "All at once" is no more than a step can have.
    at_once = replace(usual, pass_tokens=10**12)
    assert needed_for_training(two, at_once, 2) == needed_for_training(two, replace(at_once, pass_tokens=10**9), 2)


def test_what_does_not_fit_is_refused_with_what_to_lower(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = replace(CONFIG, model=str(BUNDLED_MODEL), gradient_checkpointing="off", pass_tokens=10**6, batch_pairs=1000)
    fit = examine_fit(config)
    assert fit.needed > examine_fit(replace(config, pass_tokens=1024)).needed
    monkeypatch.setattr(memory_needs, "free_bytes", lambda _: (fit.needed + fit.lowered["--pass-tokens 1024"]) // 2)
    said = examine_fit(config).words()
    for change in ("--checkpointing on", "--dtype bfloat16", "--pass-tokens 1024", "--language-only"):
        assert change in said
    # The bundled model's weights are nothing beside so many tokens.
    assert "--four-bit" not in said
    assert set(examine_fit(replace(config, pass_tokens=1, model=str(BUNDLED_MODEL))).lowered) <= {"--dtype bfloat16"}
    assert "it does not fit" in said
    assert f"--pass-tokens 1024: {fit.lowered['--pass-tokens 1024'] / 1e9:,.1f} GB, fits" in said
    with pytest.raises(RunError, match="it does not fit"):
        check_fit(config)
    assert "it fits" in examine_fit(replace(config, pass_tokens=1024)).words()
    with pytest.raises(RunError, match="cannot be trained"):
        examine_fit(replace(config, model=str(_other(tmp_path))))


def test_memory_that_runs_out_while_the_base_is_loaded_is_said_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", run_out)
    with pytest.raises(RuntimeError, match="out of memory") as caught:
        load_base(CONFIG)
    assert "Memory ran out" in explain(caught.value)


def test_a_run_that_is_trained_goes_on_where_training_would_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was stopped while its new adapter was judged, and less memory is free now."""
    config = replace(CONFIG, scenes=(str(tmp_path / "gone"),))
    (tmp_path / CONFIG_FILE).write_text(to_json_text(config.to_json()))
    monkeypatch.setattr(memory_needs, "free_bytes", lambda _: 0)
    with pytest.raises(RunError, match="it does not fit"):
        TrainingRun(tmp_path).run()
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    # Its scenes are opened next.
    with pytest.raises(MaskgroupError, match="gone"):
        TrainingRun(tmp_path).run()


def _other(folder: Path) -> Path:
    AutoConfig.for_model("llama").save_pretrained(folder)
    return folder


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
def test_an_adapter_trained_in_four_bits_is_judged_in_four_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the run's own judges: on whole weights the adapter answers otherwise."""
    config = replace(CONFIG, four_bit=True, epochs=1, gradient_checkpointing="on", learning_rate=2e-3, scenes=("any",))
    trainer = make_trainer(config)
    losses: list[float] = []
    trainer.run(on_step=lambda report: losses.append(report.loss))
    kinds = {type(layer).__name__ for layer in trainer._answerer.model.modules()}
    assert "Linear4bit" in kinds
    save_adapter(trainer._answerer.model, tmp_path / "adapter", base=BUNDLED_MODEL)
    (tmp_path / "config.json").write_text(to_json_text(config.to_json()))
    loading = TrainingRun(tmp_path)._loading()
    assert loading == LoadOptions(device="cpu", four_bit=True)
    answerer = trainer._answerer
    answerer.model.eval()
    pairs = [(crop(i), crop(i + 1)) for i in range(3)]
    with torch.no_grad():
        yes, no = answerer.log_odds([Question(answerer.picture(a), answerer.picture(b), True) for a, b in pairs])
    expected = (yes - no).tolist()
    asked = [CropPair(a, b) for a, b in pairs]

    def margins(options: LoadOptions) -> list[float]:
        judge = load_judge("base", adapter=tmp_path / "adapter", name="run", both_orders=False, loading=options)
        judge.calibration = None  # type: ignore[attr-defined]
        return [margin_of(verdict.p_same) for verdict in judge.judge(asked)]

    assert margins(loading) == pytest.approx(expected, abs=0.02)
    assert margins(LoadOptions(device="cpu")) != pytest.approx(expected, abs=0.02)


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
def test_all_judges_of_a_run_are_loaded_as_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = write_training_room(tmp_path / "scenes")
    config = TrainConfig(
        scenes=(str(room),), pairs=8, epochs=1, evaluation_pairs=4, validation_pairs=4, batch_pairs=4, language_only=True,
        use_labels=False, promotion="never", device="cpu", dtype="bfloat16", four_bit=True,
    )  # fmt: skip
    folder = tmp_path / "runs" / "small"
    folder.mkdir(parents=True)
    (folder / CONFIG_FILE).write_text(to_json_text(config.to_json()))
    loaded: list[dict[str, Any]] = []
    whole = stages.load_judge

    def load(*args: Any, **given: Any) -> Any:
        judge: Any = whole(*args, **given)
        kinds = {type(layer).__name__ for layer in judge._model.modules()}
        loaded.append({"given": given, "four": "Linear4bit" in kinds, "tower": judge._core.model.visual.dtype})
        return judge

    monkeypatch.setattr(stages, "load_judge", load)
    verdict = TrainingRun(folder).run()
    assert verdict["pairs"] > 0
    assert len(loaded) == 2
    for judge in loaded:
        assert judge["four"]
        assert judge["tower"] == torch.bfloat16
        assert (
            judge["given"]["loading"]
            == TrainingRun(folder)._loading()
            == LoadOptions(device="cpu", dtype="bfloat16", four_bit=True)
        )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU; run with -m gpu")
@pytest.mark.parametrize("four_bit", [False, True])
def test_the_estimate_holds_on_a_gpu(four_bit: bool) -> None:
    """2B's widths at full depth with random weights, one step of many pictures: the peak is within the estimate."""
    if four_bit:
        pytest.skip("random weights are not stored in 4 bits; a real base is needed")
    bundled = Qwen3VLConfig.from_pretrained(BUNDLED_MODEL).to_dict()
    shapes = read_published("2B") | {name: bundled[name] for name in bundled if name.endswith("_token_id")}
    config = Qwen3VLConfig.from_dict(shapes)
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        model = Qwen3VLForConditionalGeneration(config)
        torch.set_default_dtype(torch.float32)
    settings = replace(CONFIG, device="cuda", gradient_checkpointing="on", model="any", batch_pairs=16)
    tuned = add_adapter(model, settings)
    keep_inputs_only(tuned)
    processor = AutoProcessor.from_pretrained(BUNDLED_MODEL)
    processor.image_processor.size = {"shortest_edge": 320 * 320, "longest_edge": 320 * 320}
    answerer = Answerer(tuned, processor, load_prompt(), trains_vision=True)
    pictures = [answerer.picture(crop(i, 320)) for i in range(16)]
    questions = [Question(a, b, True) for a, b in zip(pictures, reversed(pictures), strict=True)]
    trainer = Trainer(answerer, settings, [[question] for question in questions], questions[:2], None)
    torch.cuda.reset_peak_memory_stats()
    assert trainer.run()
    footprint = Footprint(ModelShape.of(config), sum(p.numel() for p in model.parameters()), 0)
    assert torch.cuda.max_memory_reserved() < needed_for_training(footprint, settings, 2)
