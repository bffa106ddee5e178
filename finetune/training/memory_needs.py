"""Estimates how much memory a training needs before it begins, and says what to lower where it does not fit. Loads no weights.

What a layer keeps for its gradient was measured on layers of the real widths (bfloat16, LoRA of rank 16 with dropout), and a test
measures it again. All else is arithmetic on the model's configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import RunError
from engine.judging.local.loading import pick_device
from engine.judging.memory import FOUR_BIT_BYTES, count_configured, count_quantised, count_stored, free_bytes, in_gb
from engine.judging.shapes import ModelShape
from finetune.config import TrainConfig
from finetune.training.base import base_source
from finetune.training.lora import training_dtype

PATCHES_PER_TOKEN = 2
"""Patches that pass the tower for each token: four make one image token, and both orders of a pair share its pictures."""
ADAPTER_BYTES = 16
"""Of each of an adapter's numbers, in float32: itself, its gradient, and AdamW's two moments."""
BACKWARD_SHARE = 1.3
"""One layer's memory in its backward pass by what it kept."""
RESERVE_BYTES = 700_000_000
"""CUDA's own context, the libraries' work space, and gaps between blocks."""
QUESTION_TOKENS = 150
"""Tokens of a short question; each needs a row of logits."""
LONGEST_QUESTION = 2200
"""Tokens of a question about two pictures of the most pixels (`engine.judging.pixel_limits`)."""
FEW_TOKENS = 1024
LEAST_GAIN = 0.02
"""Share of the memory that a change must save to be named."""


@dataclass(frozen=True)
class Footprint:
    """What a training's model takes up.

    Attributes:
        shape: Its widths.
        values: How many numbers its weights hold.
        quantised: How many of them are stored in 4 bits if that is requested.
    """

    shape: ModelShape
    values: int
    quantised: int


@dataclass(frozen=True)
class Fit:
    """Whether a training fits.

    Attributes:
        needed: Bytes that it needs at its peak.
        free: Bytes that are free.
        device: Where.
        lowered: What it needs after single changes, by what to change.
    """

    needed: int
    free: int
    device: str
    lowered: dict[str, int]

    @property
    def fits(self) -> bool:
        """Whether it does."""
        return self.needed <= self.free

    def words(self) -> str:
        """Return a sentence for the page and the command line."""
        said = f"The training needs about {in_gb(self.needed)} at its peak, and {in_gb(self.free)} are free on {self.device}"
        if self.fits:
            return f"{said}: it fits."
        changes = "; ".join(
            f"{change}: {in_gb(count)}{', fits' if count <= self.free else ''}" for change, count in self.lowered.items()
        )
        lower = f", or lower what it needs ({changes})" if changes else ""
        return f"{said}: it does not fit. Close other programs, take a smaller model{lower}."


def keeps_language(shape: ModelShape, itemsize: int) -> float:
    """Return the bytes that one language layer keeps for the gradient of one token."""
    attention, shared = shape.heads * shape.head_width, shape.key_heads * shape.head_width
    return _scaled(44 * shape.width + 17.35 * shape.inner + 10 * attention + 8.5 * shared, itemsize)


def keeps_tower(shape: ModelShape, itemsize: int) -> float:
    """Return the bytes that one layer of the tower keeps for the gradient of one patch."""
    return _scaled(40 * shape.tower_width + 10.1 * shape.tower_inner, itemsize)


def keeps_mergers(shape: ModelShape, itemsize: int) -> float:
    """Return the bytes that the layers after the tower, one for each level, keep for the gradient of one patch."""
    return _scaled(24 * shape.tower_width * shape.levels, itemsize)


def adapter_values(shape: ModelShape, rank: int, *, language_only: bool) -> int:
    """Return how many numbers an adapter of a rank holds."""
    attention, shared = shape.heads * shape.head_width, shape.key_heads * shape.head_width
    # Each layer adds rank x (inputs + outputs): q and o, k and v, gate, up and down.
    layer = 2 * (shape.width + attention) + 2 * (shape.width + shared) + 3 * (shape.width + shape.inner)
    if language_only:
        return rank * layer * shape.layers
    block = (4 + 2) * shape.tower_width + 2 * (shape.tower_width + shape.tower_inner)
    merger = 8 * shape.tower_width + 4 * shape.tower_width + shape.width
    return rank * (layer * shape.layers + block * shape.tower_layers + merger * shape.levels)


def needed_for_training(model: Footprint, config: TrainConfig, itemsize: int) -> int:
    """Return the bytes that a training needs at its peak.

    Args:
        model: What is trained.
        config: The training's settings.
        itemsize: Bytes of a number that it computes with.
    """
    shape = model.shape
    # No step has more, however much may go through at once.
    tokens = min(config.pass_tokens, 2 * config.batch_pairs * LONGEST_QUESTION)
    quantised = model.quantised if config.four_bit else 0
    weights = (model.values - quantised) * itemsize + quantised * FOUR_BIT_BYTES
    adapter = adapter_values(shape, config.rank, language_only=config.language_only) * ADAPTER_BYTES
    patches = 0 if config.language_only else tokens * PATCHES_PER_TOKEN
    language, tower = keeps_language(shape, itemsize) * tokens, keeps_tower(shape, itemsize) * patches
    if config.recomputes:
        # Each layer's input, and everything of the one that is computed again.
        kept = itemsize * (shape.layers * shape.width * tokens + shape.tower_layers * shape.tower_width * patches)
        kept += BACKWARD_SHARE * max(language, tower)
    else:
        kept = shape.layers * language + shape.tower_layers * tower + (BACKWARD_SHARE - 1) * max(language, tower)
    kept += keeps_mergers(shape, itemsize) * patches + 3 * shape.feature_values() * itemsize * tokens
    logits = tokens / QUESTION_TOKENS * shape.vocabulary * 4 * 4
    return round(weights + adapter + kept + logits + RESERVE_BYTES)


def examine_fit(config: TrainConfig) -> Fit:
    """Estimate whether a training fits into the memory that is free now, from its base's configuration.

    Raises:
        MaskgroupError: If the base is not here, or is no model that can be trained.
    """
    device = pick_device(config.device)
    itemsize = training_dtype(config, device).itemsize
    model = read_footprint(base_source(config.model))
    return Fit(
        needed=needed_for_training(model, config, itemsize),
        free=free_bytes(device),
        device=str(device),
        lowered=_lower(model, config, itemsize),
    )


def check_fit(config: TrainConfig) -> None:
    """Make sure that a training fits before anything is loaded for it.

    Raises:
        RunError: If it does not.
        MaskgroupError: As `examine_fit`.
    """
    fit = examine_fit(config)
    if not fit.fits:
        raise RunError(fit.words())


def read_footprint(source: str | Path) -> Footprint:
    """Read what a base takes up.

    Raises:
        RunError: If its configuration cannot be read, or is of another architecture.
    """
    from transformers import AutoConfig

    configs: Any = AutoConfig  # transformers' types are partial
    try:
        config = configs.from_pretrained(source, trust_remote_code=False)
        shape = ModelShape.of(config)
    except (OSError, ValueError, AttributeError) as error:
        reason = str(error).strip().splitlines()[:1]
        raise RunError(
            f"The model {str(source)!r} cannot be trained ({reason[0] if reason else type(error).__name__}); choose a Qwen3-VL."
        ) from error
    values = count_stored(Path(source)) if Path(source).is_dir() else count_configured(config)
    return Footprint(shape, values, count_quantised(config))


def _lower(model: Footprint, config: TrainConfig, itemsize: int) -> dict[str, int]:
    changes: dict[str, tuple[TrainConfig, int]] = {}
    if not config.recomputes:
        changes["--checkpointing on"] = (replace(config, gradient_checkpointing="on"), itemsize)
    if itemsize > 2:
        changes["--dtype bfloat16"] = (replace(config, dtype="bfloat16"), 2)
    if config.pass_tokens > FEW_TOKENS:
        changes[f"--pass-tokens {FEW_TOKENS}"] = (replace(config, pass_tokens=FEW_TOKENS), itemsize)
    if not config.language_only:
        changes["--language-only"] = (replace(config, language_only=True), itemsize)
    if not config.four_bit:
        changes["--four-bit"] = (replace(config, four_bit=True), itemsize)
    if len(changes) > 1:
        lowest = replace(
            config,
            gradient_checkpointing="on",
            pass_tokens=min(config.pass_tokens, FEW_TOKENS),
            language_only=True,
            four_bit=True,
        )
        changes["all of these"] = (lowest, 2)
    lowered = {words: needed_for_training(model, *change) for words, change in changes.items()}
    most = (1 - LEAST_GAIN) * needed_for_training(model, config, itemsize)
    return {words: count for words, count in lowered.items() if count <= most}


def _scaled(bytes_in_bfloat16: float, itemsize: int) -> float:
    # About a third of what is kept is in float32 anyway: the adapter's inputs.
    return bytes_in_bfloat16 * (2 + itemsize) / 4
