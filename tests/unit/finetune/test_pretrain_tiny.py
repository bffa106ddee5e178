"""The bundled judge's training, for real but in seconds: its own fast paths equal transformers', every stage resumes."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from engine.judging.base import CropPair, load_prompt
from engine.judging.local.qwen_vl import load_qwen_vl, question_ids
from finetune.bundled.pretrain_answer import AnswerSettings, QuestionBuilder
from finetune.bundled.pretrain_contrast import ContrastSettings, contrast_loss
from finetune.bundled.pretrain_crops import CropSet, load_crops, render_crops
from finetune.bundled.pretrain_joint import JointSettings
from finetune.bundled.pretrain_model import TinySize, answer_ids, encode_images, patchify, target_size
from finetune.bundled.pretrain_steps import load_checkpoint, save_checkpoint
from finetune.bundled.pretrain_tiny import PretrainSettings, load_language_model, new_judge, pretrain, save_judge

SIZE = TinySize(vision_layers=1, vision_width=64, text_layers=1, text_width=64)


@pytest.fixture(scope="module")
def judge_parts() -> tuple[Any, Any]:
    torch.manual_seed(0)
    processor, model = new_judge(SIZE)
    return processor, model.eval()


@pytest.fixture
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (h, w, 3), dtype=np.uint8) for h, w in ((70, 50), (30, 120))]


def one_time_step(patches: torch.Tensor) -> torch.Tensor:
    """The processor repeats a still image for two time steps, within each channel; the training keeps one."""
    return patches.reshape(len(patches), 3, 2, 256)[:, :, 0].reshape(len(patches), 768)


def test_batched_vision_tower_equals_the_plain_one(judge_parts: tuple[Any, Any], images: list[np.ndarray]) -> None:
    processor, model = judge_parts
    inputs = processor.image_processor(images, return_tensors="pt", input_data_format="channels_last")
    with torch.no_grad():
        plain = model.model.visual(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"]).pooler_output
        start = 0
        for image, (_, rows, columns) in zip(images, inputs["image_grid_thw"].tolist(), strict=True):
            assert target_size(*image.shape[:2], SIZE) == (rows * 16, columns * 16)
            patches = one_time_step(inputs["pixel_values"])[start * 4 : start * 4 + rows * columns][None]
            ours = encode_images(model.model.visual, patches, (rows, columns))[0]
            assert torch.allclose(ours, plain[start : start + len(ours)], atol=1e-4)
            start += len(ours)


def test_patches_come_in_the_processors_order(judge_parts: tuple[Any, Any]) -> None:
    processor, _ = judge_parts
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    image = np.repeat(np.repeat(image[::8, ::8], 8, 0), 8, 1)
    inputs = processor.image_processor([image], return_tensors="pt", input_data_format="channels_last", do_resize=False)
    ours = patchify(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1, SIZE)[0]
    assert torch.allclose(ours, one_time_step(inputs["pixel_values"]), atol=1e-5)


def test_cached_questions_equal_the_judges_prefill(judge_parts: tuple[Any, Any], images: list[np.ndarray]) -> None:
    processor, model = judge_parts
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": load_prompt().text}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], images=images, input_data_format="channels_last", return_tensors="pt")
    with torch.no_grad():
        plain = model(**inputs).logits[:, -1]
        features = model.model.visual(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"]).pooler_output
        grids = [(rows // 2, columns // 2) for _, rows, columns in inputs["image_grid_thw"].tolist()]
        count = grids[0][0] * grids[0][1]
        builder = QuestionBuilder(model, question_ids(processor, load_prompt().text))
        long = ((features[:count], grids[0]), (features[count:], grids[1]))
        short = ((features[:count], grids[0]), (features[:count], grids[0]))
        ours = builder.logits([long, short])
    assert torch.allclose(ours[0], plain[0], atol=1e-4)


def test_tokenizer_knows_answers_and_any_text(judge_parts: tuple[Any, Any]) -> None:
    tokenizer = judge_parts[0].tokenizer
    assert all(len(tokenizer.encode(word, add_special_tokens=False)) == 1 for word in ("yes", "no", "Yes", "No", "<|im_end|>"))
    text = "Ünïcode 物 🪑, nothing yesterday\n"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert len(question_ids(judge_parts[0], load_prompt().text)) < 40


def test_identical_copies_are_no_negatives() -> None:
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]]), dim=1)
    kind, room, scale = torch.zeros(3), torch.zeros(3), torch.tensor(20.0)
    as_copies = contrast_loss(vectors, vectors, torch.tensor([5, 5, 6]), kind, room, scale=scale)
    as_others = contrast_loss(vectors, vectors, torch.tensor([5, 7, 6]), kind, room, scale=scale)
    assert as_copies < 1e-3
    assert as_others > 0.5


def test_training_makes_a_judge_that_answers_and_resumes(tmp_path: Path) -> None:
    settings = PretrainSettings(
        rooms=3,
        validation_rooms=2,
        size=SIZE,
        contrast=((64 * 64, ContrastSettings(steps=3, rooms=2, instances=6)),),
        variants=1,
        answer=AnswerSettings(steps=40, pairs=8, learning_rate=3e-3),
        joint=JointSettings(steps=2, pairs=4),
        workers=1,
    )
    work, out = tmp_path / "work", tmp_path / "model"
    pretrain(settings, furniture=None, held_out=None, work=work, out=out)
    weights = (out / "model.safetensors").read_bytes()
    stamps = {p: p.stat().st_mtime_ns for p in work.rglob("*.safetensors")}
    crops = np.random.default_rng(0).integers(0, 255, (2, 40, 60, 3), dtype=np.uint8)
    verdict = load_qwen_vl(out, name="mini").judge([CropPair(crops[0], crops[1])])[0]
    assert verdict.ambiguity < 0.3, "40 steps are enough to answer yes or no rather than anything else"
    assert 0 < verdict.p_same < 1
    pretrain(settings, furniture=None, held_out=None, work=work, out=out)
    assert (out / "model.safetensors").read_bytes() == weights
    assert {p: p.stat().st_mtime_ns for p in work.rglob("*.safetensors")} == stamps


def test_a_checkpoint_that_could_not_be_written_is_not_taken_for_a_finished_one(tmp_path: Path) -> None:
    path = tmp_path / "answer.safetensors"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # as on a full disk
    try:
        with pytest.raises((OSError, SafetensorError)):
            save_checkpoint(path, {"weight": torch.ones(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    save_checkpoint(path, {"weight": torch.ones(1000)})
    mine = torch.zeros(1000)
    load_checkpoint(path, {"weight": mine})
    assert bool((mine == 1).all())


def test_warm_start_takes_the_language_model_alone(judge_parts: tuple[Any, Any], tmp_path: Path) -> None:
    processor, model = judge_parts
    save_judge(model, processor, tmp_path)
    torch.manual_seed(1)
    _, other = new_judge(SIZE)
    before = {name: p.clone() for name, p in other.named_parameters()}
    load_language_model(other, tmp_path)
    wanted = dict(model.named_parameters())
    for name, p in other.named_parameters():
        assert torch.equal(p, before[name] if "visual." in name else wanted[name]), name
    _, wider = new_judge(TinySize(vision_layers=1, vision_width=64, text_layers=2, text_width=64))
    with pytest.raises(ValueError, match="no judge of these sizes"):
        load_language_model(wider, tmp_path)


def test_rendered_crops_are_kept_and_hold_their_instance(tmp_path: Path) -> None:
    render_crops(tmp_path, None, None, split="val", rooms=1, workers=1)
    shard = next((tmp_path / "val").glob("*.npz"))
    stamp = shard.stat().st_mtime_ns
    render_crops(tmp_path, None, None, split="val", rooms=1, workers=1)
    assert shard.stat().st_mtime_ns == stamp
    crops: CropSet = load_crops(tmp_path / "val")
    assert len(crops) > 20
    for index in range(0, len(crops), 7):
        crop = crops.crop(index)
        assert crop[crop[..., 3] == 0][:, :3].max(initial=0) == 0
        assert (crop[..., 3] > 0).sum() > 30


def test_a_saved_judge_is_small(judge_parts: tuple[Any, Any], tmp_path: Path) -> None:
    processor, model = judge_parts
    save_judge(model, processor, tmp_path)
    assert {"model.safetensors", "tokenizer.json", "processor_config.json", "chat_template.jinja"} <= {
        p.name for p in tmp_path.iterdir()
    }
    assert answer_ids(processor.tokenizer)[0] != answer_ids(processor.tokenizer)[1]
