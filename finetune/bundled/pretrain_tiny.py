"""Trains the bundled judge from nothing: crops of procedural rooms, then the vision tower, then the answers,
then (if asked for) both together, and at last the balance of the two answers.

    python -m finetune.bundled.pretrain_tiny --furniture DIR --held-out TSV --work .work/tiny --out assets/models/tiny-qwen3-vl

Every stage keeps its results under `--work`. When the command runs again, finished stages are skipped and a stopped one continues.
Without `--furniture` the rooms hold parametric furniture only. On few, shared cores one thread in each of several processes is
much faster than many threads: `torchrun --nproc-per-node 2 -m finetune.bundled.pretrain_tiny ...` averages their gradients.
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import distributed

from engine.judging.base import load_prompt
from engine.judging.local.qwen_vl import question_ids
from finetune.bundled.pretrain_answer import AnswerSettings, FeatureBank, QuestionBuilder, cache_features, calibrate, train_answers
from finetune.bundled.pretrain_contrast import ContrastSettings, train_vision
from finetune.bundled.pretrain_crops import CropSet, load_crops, render_crops
from finetune.bundled.pretrain_joint import JointSettings, train_jointly
from finetune.bundled.pretrain_model import TinySize, answer_ids, build_model, build_processor

LOG = logging.getLogger(__name__)
DEFAULT_STAGES = ((80 * 64, 450), (96 * 96, 1100))
"""Small crops first, where a step costs half, then the size of the finished judge; as (pixels, steps)."""


@dataclass(frozen=True)
class PretrainSettings:
    """Everything that decides what the bundled judge becomes.

    Attributes:
        rooms: Rooms to train on.
        validation_rooms: Rooms with other furniture, for the log.
        size: Sizes of the model that is saved.
        contrast: Steps of the vision tower, as (pixels, settings): small crops first, then the final size.
        variants: Cached augmentations of every crop.
        answer: Steps of the language model on cached features.
        joint: Steps of both together, 0 for none.
        warm_start: A saved judge of the same sizes whose language model is taken instead of an untrained one, or None.
        workers: Processes that render.
    """

    rooms: int = 240
    validation_rooms: int = 30
    size: TinySize = field(default_factory=TinySize)
    contrast: tuple[tuple[int, ContrastSettings], ...] = ((80 * 64, ContrastSettings()),)
    variants: int = 2
    answer: AnswerSettings = field(default_factory=AnswerSettings)
    joint: JointSettings = field(default_factory=JointSettings)
    warm_start: Path | None = None
    workers: int = 2


def pretrain(settings: PretrainSettings, *, furniture: Path | None, held_out: Path | None, work: Path, out: Path) -> None:
    """Run all stages and save the model with its processor in `out`."""
    crops = work / "crops"
    rank, processes = _join_processes()
    if rank == 0:
        render_crops(crops, furniture, held_out, split="train", rooms=settings.rooms, workers=settings.workers)
        render_crops(crops, furniture, held_out, split="val", rooms=settings.validation_rooms, workers=settings.workers)
    _wait()
    train, val = load_crops(crops / "train"), load_crops(crops / "val")
    LOG.info("%d crops to train on, %d to validate", len(train), len(val))
    torch.manual_seed(settings.answer.seed)  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial
    processor, model = new_judge(settings.size)
    if settings.warm_start is not None:
        load_language_model(model, settings.warm_start)
    visual: Any = model.model.visual
    for index, (pixels, contrast) in enumerate(settings.contrast):
        size = TinySize(**{**vars(settings.size), "pixels": pixels})
        train_vision(visual, train, size, contrast, checkpoint=work / f"vision{index}.safetensors", validation=val)
    _wait()
    if processes > 1:  # each process asks about its own rooms; in both, the vision tower was trained on all of them
        train = load_crops(crops / "train", part=(rank, processes))
    banks = cached_banks(visual, train, val, settings)
    builder = QuestionBuilder(model, question_ids(processor, load_prompt().text))
    answers = answer_ids(processor.tokenizer)
    train_answers(
        model,
        builder,
        answers,
        train,
        banks[0],
        settings.answer,
        checkpoint=work / "answer.safetensors",
        validation=(val, banks[1]),
    )
    train_jointly(model, builder, answers, train, banks[0], settings.size, settings.joint, checkpoint=work / "joint.safetensors")
    if rank == 0:
        calibrate(model, builder, answers, val, cache_features(visual, val, settings.size, variants=1))
    if rank == 0:
        save_judge(model, processor, out)
    _wait()


def _join_processes() -> tuple[int, int]:
    """Join the processes that torchrun started, if it did; returns (rank, number of processes)."""
    if "RANK" not in os.environ:
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=timedelta(hours=2))
    return distributed.get_rank(), distributed.get_world_size()


def _wait() -> None:
    if distributed.is_initialized():
        distributed.barrier()  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial


def new_judge(size: TinySize) -> tuple[Any, Any]:
    """Return (processor, untrained model); seed torch before."""
    processor = build_processor(load_prompt(), size)
    return processor, build_model(processor, size)


def cached_banks(visual: Any, train: CropSet, val: CropSet, settings: PretrainSettings) -> tuple[FeatureBank, FeatureBank]:
    """Encode the training crops in all variants and the validation crops as they are."""
    bank = cache_features(visual, train, settings.size, variants=settings.variants, seed=settings.answer.seed)
    return bank, cache_features(visual, val, settings.size, variants=1)


def load_language_model(model: Any, folder: Path) -> None:
    """Copy all but the vision tower of a saved judge of the same sizes into a model."""
    tensors = load_file(str(folder / "model.safetensors"))
    found = model.load_state_dict({k: v for k, v in tensors.items() if "visual." not in k}, strict=False)
    missing = [k for k in found.missing_keys if "visual." not in k]
    if missing or found.unexpected_keys:
        raise ValueError(f"{folder} is no judge of these sizes: missing {missing[:3]}, unexpected {found.unexpected_keys[:3]}")


def save_judge(model: Any, processor: Any, out: Path) -> None:
    """Save model and processor as transformers loads them."""
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    processor.save_pretrained(out)


def stage(text: str) -> tuple[int, int]:
    """Read "PIXELS:STEPS"."""
    pixels, _, steps = text.partition(":")
    return int(pixels), int(steps)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m finetune.bundled.pretrain_tiny", description=__doc__)
    parser.add_argument("--furniture", type=Path, help="folder of .sh3f libraries (Debian's sweethome3d-furniture, unpacked)")
    parser.add_argument("--held-out", type=Path, help="table of models that are never trained on (library, model, name, creator)")
    parser.add_argument("--work", type=Path, default=Path(".work/tiny"), help="crops and checkpoints; kept for resuming")
    parser.add_argument("--out", type=Path, default=Path("assets/models/tiny-qwen3-vl"))
    parser.add_argument("--rooms", type=int, default=240)
    parser.add_argument("--pixels", type=int, default=96 * 96, help="pixels of a crop as the finished judge sees it")
    parser.add_argument(
        "--contrast",
        type=stage,
        action="append",
        metavar="PIXELS:STEPS",
        help="a stage of the vision tower; may be given several times (default: 5120:450, then 9216:1100)",
    )
    parser.add_argument("--answer-steps", type=int, default=900)
    parser.add_argument("--joint-steps", type=int, default=150)
    parser.add_argument("--warm-start", type=Path, help="take the language model of this saved judge instead of an untrained one")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.furniture is not None and args.held_out is None:
        parser.error("--furniture needs --held-out: the table of models that furnish the rooms used for checking")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = PretrainSettings(
        rooms=args.rooms,
        size=TinySize(pixels=args.pixels),
        contrast=tuple(
            (pixels, ContrastSettings(steps=steps, learning_rate=1e-3, seed=args.seed))
            for pixels, steps in args.contrast or DEFAULT_STAGES
        ),
        answer=AnswerSettings(steps=args.answer_steps, pairs=96, learning_rate=8e-4, seed=args.seed),
        joint=JointSettings(steps=args.joint_steps, pairs=64, seed=args.seed),
        warm_start=args.warm_start,
    )
    pretrain(settings, furniture=args.furniture, held_out=args.held_out, work=args.work, out=args.out)


if __name__ == "__main__":
    main()
