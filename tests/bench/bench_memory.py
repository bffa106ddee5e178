"""What the real sizes of Qwen3-VL need, from their published configurations: `python -m tests.bench.bench_memory`.

First memory, then time on an H100 if the aims of docs/gpu.md are reached: nothing is measured, operations are counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import torch
from transformers import Qwen3VLConfig

from engine.judging.memory import LONG_PASS, count_configured, count_quantised, in_gb, needed_bytes
from engine.judging.shapes import ModelShape
from finetune.config import TrainConfig
from finetune.training.memory_needs import Footprint, needed_for_training
from tests.bench.bench_judging import BF16_PEAK
from tests.bench.tiny_sizes import add_tiny_option
from tests.published_configs import SIZES, read_published

CARD, JUDGING_SHARE, TRAINING_SHARE = "H100", 0.6, 0.45
"""The aims: shares of the card's peak."""
CROP_TOKENS, QUESTION_TOKENS, PATCHES_A_TOKEN = 74, 26, 4
"""Of a crop of the bundled room, on average, and of the question, with Qwen3-VL's own smallest picture of 256x256 pixels."""
PAIRS, EPOCHS = 1000, 2
"""Of a training as it is by default; each pair is shown in both orders."""


def operations(shape: ModelShape, *, tokens: int, patches: int, each: int) -> float:
    """Return the operations that tokens and patches take, `each` for every weight that they meet; attention is left out."""
    attention = 2 * shape.width * shape.head_width * (shape.heads + shape.key_heads)
    language = shape.layers * (attention + 3 * shape.width * shape.inner)
    tower = shape.tower_layers * (4 * shape.tower_width**2 + 2 * shape.tower_width * shape.tower_inner)
    return each * (language * tokens + tower * patches)


def print_times(sizes: Sequence[str]) -> None:
    """Print the second table."""
    tokens, patches = QUESTION_TOKENS + 2 * CROP_TOKENS, 2 * CROP_TOKENS * PATCHES_A_TOKEN
    print(
        f"\nOn an {CARD} at {JUDGING_SHARE:.0%} of its peak in judging, {TRAINING_SHARE:.0%} in training; {tokens} tokens a pair\n"
    )
    print(f"| Qwen3-VL | operations a pair | pairs/s | 600 pairs | training on {PAIRS} pairs, {EPOCHS} epochs |")
    print("|---|---|---|---|---|")
    for size in sizes:
        shape = ModelShape.of(Qwen3VLConfig(**read_published(size)))
        one = operations(shape, tokens=tokens, patches=patches, each=2)
        rate = JUDGING_SHARE * BF16_PEAK[CARD] / one
        # Both orders of a pair share its pictures. A weight is met forward, again for the gradient, and for the input's gradient.
        step = operations(shape, tokens=2 * tokens, patches=patches, each=6)
        trained = PAIRS * EPOCHS * step / (TRAINING_SHARE * BF16_PEAK[CARD])
        print(f"| {size} | {one / 1e12:.1f} tera | {rate:.0f} | {600 / rate:.0f} s | {trained:.0f} s |")


def main(given: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_memory", description=__doc__)
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    print("| Qwen3-VL | values | float32 | bfloat16 | 4 bits | bfloat16, full speed | training, bfloat16 | training, 4 bits |")
    print("|---|---|---|---|---|---|---|---|")
    for size in SIZES[: 1 if arguments.tiny else None]:
        config = Qwen3VLConfig(**read_published(size))
        values, quantised = count_configured(config), count_quantised(config)
        shape = ModelShape.of(config)
        whole = [needed_bytes(values, dtype, shape=shape) for dtype in (torch.float32, torch.bfloat16)]
        four = needed_bytes(values, torch.bfloat16, quantised=quantised, shape=shape)
        fast = needed_bytes(values, torch.bfloat16, shape=shape, pass_tokens=LONG_PASS)
        usual = TrainConfig(scenes=("any",), model=size)
        trained = [
            needed_for_training(Footprint(shape, values, quantised), replace(usual, four_bit=four_bit), 2)
            for four_bit in (False, True)
        ]
        print(f"| {size} | {values / 1e9:.2f} billion | {' | '.join(in_gb(n) for n in (*whole, four, fast, *trained))} |")
    print_times(SIZES[: 1 if arguments.tiny else None])


if __name__ == "__main__":
    main()
