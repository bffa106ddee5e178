"""Loads a base model for training, puts a LoRA adapter into it, and answers about batches of pairs with gradients.

A batch is built exactly as the judge's prompt becomes one: training and judging see the same numbers (a test holds them equal).
Knows nothing about scenes, a run's files, or schedules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.errors import ModelError
from engine.judging.base import Prompt
from engine.judging.local.answer_logits import answer_log_probs
from engine.judging.local.loading import four_bit_config, need_four_bit, pick_device, pick_dtype
from engine.judging.local.passes import is_out_of_memory
from engine.judging.local.qwen_vl import NO_WORDS, YES_WORDS, answer_token_ids, question_ids
from engine.judging.local.tower import Grid, PatchedPicture, encode_pictures
from engine.judging.pixel_limits import fit_picture, own_limit_of
from engine.types import UInt8Array
from finetune.config import TrainConfig
from finetune.training.base import base_source

LANGUAGE_LAYERS = r".*language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
VISION_LAYERS = r".*visual\..*\.(attn\.qkv|attn\.proj|linear_fc1|linear_fc2)"


@dataclass(frozen=True, eq=False)
class ProcessedCrop:
    """One crop, ready for the model.

    Attributes:
        grid: Patches as (time, rows, columns).
        patches: (patches, values) float, or None if `levels` are known.
        levels: (1 + deepstack levels, tokens, width) features, or None if the tower is trained.
    """

    grid: Grid
    patches: Tensor | None
    levels: Tensor | None


@dataclass(frozen=True, eq=False)
class Question:
    """Two pictures in the order in which they are shown, the answer, and how much it weighs."""

    a: ProcessedCrop
    b: ProcessedCrop
    is_same: bool
    weight: float = 1.0


def load_base(config: TrainConfig) -> tuple[Any, Any, torch.device]:
    """Load a base and its processor onto the device of the training.

    Raises:
        ModelError: If it cannot be loaded, or is no Qwen3-VL.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    device = pick_device(config.device)
    source = base_source(config.model)
    dtype = training_dtype(config, device)
    if config.four_bit:
        need_four_bit(device)
    extra = {"quantization_config": four_bit_config(dtype), "device_map": {"": device}} if config.four_bit else {}
    try:
        processors: Any = AutoProcessor  # transformers' types are partial
        processor: Any = processors.from_pretrained(source)
        models: Any = AutoModelForImageTextToText
        model: Any = models.from_pretrained(source, dtype=dtype, use_safetensors=True, **extra)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[:1]
        raise ModelError(
            f"The model {config.model!r} could not be loaded: {reason[0] if reason else type(error).__name__}"
        ) from error
    if model.config.model_type != "qwen3_vl":
        raise ModelError(f"{config.model!r} is a {model.config.model_type}; only Qwen3-VL models can be trained, choose one.")
    return model if config.four_bit else model.to(device), processor, device


def training_dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """Return what a training computes in; never float16, in which small gradients vanish."""
    picked = pick_dtype(config.dtype, device)
    return torch.float32 if picked == torch.float16 else picked


def keep_inputs_only(model: Any) -> None:
    """Make a model's layers keep only their inputs in training, and run again for their gradients; those of the tower too."""
    core = model.get_base_model() if hasattr(model, "get_base_model") else model
    core.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def lora_targets(config: TrainConfig) -> str:
    """Return the regular expression of the layers that get adapters: attention and MLP of the language model, and of the tower."""
    return LANGUAGE_LAYERS if config.language_only else f"{LANGUAGE_LAYERS}|{VISION_LAYERS}"


def add_adapter(model: Any, config: TrainConfig) -> Any:
    """Wrap a base with a fresh adapter, the same one for the same seed; returns PEFT's model."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(config.seed)  # pyright: ignore[reportUnknownMemberType]  # torch's types are partial
    lora = LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=lora_targets(config), bias="none"
    )
    return get_peft_model(model, lora)


def trained_weights(model: Any) -> dict[str, Tensor]:
    """Return the adapter's parameters by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


class Answerer:
    """Answers questions with gradients.

    Args:
        model: PEFT's model around a Qwen3-VL, or the Qwen3-VL itself.
        processor: Its processor.
        prompt: What is asked.
        trains_vision: Whether gradients go through the tower; otherwise its features are computed once per picture.
    """

    def __init__(self, model: Any, processor: Any, prompt: Prompt, *, trains_vision: bool) -> None:
        self.model = model
        self._core = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._processor = processor
        self._trains_vision = trains_vision
        self._device = self._core.get_input_embeddings().weight.device
        self._ids = question_ids(processor, prompt.text)
        image = self._core.config.image_token_id
        self._places = [i for i, token in enumerate(self._ids) if token == image]
        self._answers = [answer_token_ids(processor.tokenizer, words) for words in (YES_WORDS, NO_WORDS)]
        if len(self._places) != 2 or not all(self._answers):
            raise ModelError("The model's chat template or tokenizer does not fit a question about two images; pick a Qwen3-VL.")
        self._rows: dict[tuple[Grid, Grid], tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def picture(self, crop: UInt8Array) -> ProcessedCrop:
        """Prepare a crop, (h, w, 3) uint8: its patches, or its features where the tower is not trained."""
        shown = fit_picture(crop, own_limit=own_limit_of(self._processor.image_processor))
        prepared = self._processor.image_processor(images=[shown], input_data_format="channels_last", return_tensors="pt")
        time, rows, columns = (int(n) for n in prepared["image_grid_thw"][0])
        return ProcessedCrop((time, rows, columns), prepared["pixel_values"], None)

    @torch.no_grad()
    def with_features(self, pictures: Sequence[ProcessedCrop], *, batch: int = 64) -> list[ProcessedCrop]:
        """Return pictures with the tower's features instead of their patches, where the tower is not trained."""
        if self._trains_vision:
            return list(pictures)
        done: list[ProcessedCrop] = []
        for start in range(0, len(pictures), batch):
            chosen = pictures[start : start + batch]
            # Copied, because a view would keep its whole batch in memory.
            done += [ProcessedCrop(p.grid, None, found.clone()) for p, found in zip(chosen, self._encode(chosen), strict=True)]
        return done

    def log_odds(self, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
        """Return log P(yes) and log P(no) of the answer's token for each question, two (N,) float32 tensors."""
        pictures = list({id(p): p for q in questions for p in (q.a, q.b)}.values())
        levels = self._levels(pictures)
        rows = [self._row(question.a.grid, question.b.grid) for question in questions]
        longest = max(len(ids) for ids, _ in rows)
        shape = (len(questions), longest)
        ids = torch.zeros(shape, dtype=torch.int64)
        mask = torch.zeros(shape, dtype=torch.int64)
        positions = torch.zeros((3, *shape), dtype=torch.int64)
        for i, (row, where) in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)], positions[:, i, : len(row)] = row, 1, where
        ids, mask, positions = (tensor.to(self._device) for tensor in (ids, mask, positions))
        seen = torch.cat([levels[id(p)] for q in questions for p in (q.a, q.b)], dim=1)
        is_image = ids == self._core.config.image_token_id
        embeds = self._core.get_input_embeddings()(ids).masked_scatter(is_image[..., None], seen[0])
        states = self._core.model.language_model(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=positions,
            visual_pos_masks=is_image,
            deepstack_visual_embeds=list(seen[1:]),
            use_cache=False,
        ).last_hidden_state
        last = states[torch.arange(len(questions), device=self._device), mask.sum(dim=1) - 1]
        yes, no = answer_log_probs(self._core.lm_head, last, self._answers).unbind(dim=-1)
        return yes, no

    def loss(self, questions: Sequence[Question]) -> Tensor:
        """Return the mean cross-entropy of the answer's token alone, over the whole vocabulary, weighted."""
        yes, no = self.log_odds(questions)
        same = torch.tensor([question.is_same for question in questions], device=yes.device)
        weights = torch.tensor([question.weight for question in questions], device=yes.device)
        return -(torch.where(same, yes, no) * weights).sum() / weights.sum()

    def split(self, pairs: Sequence[Sequence[Question]], most_tokens: int) -> list[list[Question]]:
        """Cut groups of questions into parts that fit into one pass each.

        Args:
            pairs: Questions that stay together, so that their pictures go through the tower once.
            most_tokens: Padded tokens of a part; a group that has more is a part of its own.

        Returns:
            The parts, in order.
        """
        parts: list[list[Question]] = []
        longest = 0
        for group in pairs:
            own = max(self.length(question) for question in group)
            if parts and max(longest, own) * (len(parts[-1]) + len(group)) <= most_tokens:
                parts[-1].extend(group)
                longest = max(longest, own)
            else:
                parts.append(list(group))
                longest = own
        return parts

    def length(self, question: Question) -> int:
        """Return the number of tokens that a question becomes."""
        return len(self._row(question.a.grid, question.b.grid)[0])

    def _levels(self, pictures: Sequence[ProcessedCrop]) -> Mapping[int, Tensor]:
        found = {id(p): p.levels for p in pictures if p.levels is not None}
        missing = [p for p in pictures if p.levels is None]
        return found | {id(p): levels for p, levels in zip(missing, self._encode(missing), strict=True)} if missing else found

    def _encode(self, pictures: Sequence[ProcessedCrop]) -> list[Tensor]:
        return encode_pictures(
            self._core.model.visual, [PatchedPicture(p.grid, p.patches) for p in pictures if p.patches is not None]
        )

    def _row(self, a: Grid, b: Grid) -> tuple[Tensor, Tensor]:
        """Return token ids (length,) and rotary positions (3, length) of a question about pictures of two grids."""
        if (a, b) not in self._rows:
            image, merge = self._core.config.image_token_id, self._core.model.visual.spatial_merge_size
            counts = [grid[0] * grid[1] * grid[2] // merge**2 for grid in (a, b)]
            first, second = self._places
            ids = [*self._ids[:first], *[image] * counts[0], *self._ids[first + 1 : second], *[image] * counts[1]]
            row = torch.tensor([[*ids, *self._ids[second + 1 :]]])
            where, _ = self._core.model.get_rope_index(
                row, image_grid_thw=torch.tensor([a, b]), mm_token_type_ids=(row == image).int()
            )
            self._rows[a, b] = row[0], where[:, 0]
        return self._rows[a, b]
