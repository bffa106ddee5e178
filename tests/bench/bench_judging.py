"""Prints how fast pairs are judged, against the original's way with the same weights: `python tests/bench/bench_judging.py`.

The original's way: batches of 2 pairs, both images encoded for every pair, `generate` of up to 10 tokens, the words read. First an
all-pairs job over one view pair of a bundled scene, then vision and language time over 10, 100 and 1000 crops. On a GPU, with
`--size 8B`, the same with random weights at Qwen3-VL-8B's size in bfloat16, with pairs/s, memory and the share of the chip's peak.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

sys.path.insert(0, str(Path(__file__).parents[2]))
from engine.assets import BUNDLED_MODEL, SCENES_DIR
from engine.judging.base import CropPair, Prompt, load_prompt
from engine.judging.local.qwen_vl import QwenVlJudge
from engine.scenes import find_scene
from engine.types import MaskKey, UInt8Array
from engine.views.crops import show_mask
from engine.views.frames import FrameSource
from tests.bench.tiny_sizes import add_tiny_option, tiny_scene
from tests.gpu.random_models import LEAST_PX, MOST_PX, random_model

MIN_AREA_PX = 230
ROUNDS = 5
BF16_PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L4": 121e12, "4090": 165e12}
"""Dense bfloat16 operations a second, from the makers' data sheets."""


def view_crops(scene_name: str) -> tuple[list[UInt8Array], list[UInt8Array]]:
    """Crops on black of the masks of the two neighbouring views that have most of them."""
    scene = find_scene(scene_name, SCENES_DIR)
    frames = FrameSource(scene)
    names = scene.view_names
    keys = {name: [MaskKey(name, m) for m, area in frames.frame(name).mask_areas.items() if area >= MIN_AREA_PX] for name in names}
    first, second = max(pairwise(names), key=lambda pair: len(keys[pair[0]]) * len(keys[pair[1]]))
    a, b = ([show_mask(frames.frame(key.view), key) for key in keys[name]] for name in (first, second))
    return a, b


def ask_as_the_original(model: Any, processor: Any, pairs: Sequence[CropPair], *, least_tokens: int) -> list[str]:
    """The original's loop: two pairs a batch, both images of each through the tower, text generated and decoded."""
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": load_prompt("original").text}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
    answers: list[str] = []
    for start in range(0, len(pairs), 2):
        batch = pairs[start : start + 2]
        images = [image for pair in batch for image in (pair.a, pair.b)]
        inputs = processor(
            text=[text] * len(batch), images=images, input_data_format="channels_last", padding=True, return_tensors="pt"
        ).to(model.device)
        with torch.inference_mode():
            out = model.generate(**inputs, max_new_tokens=10, min_new_tokens=least_tokens, do_sample=False)
        answers += processor.tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return answers


def seconds(work: Any) -> float:
    """Wall time of a call, the GPU's queue included."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def bench_view_pair(model: Any, processor: Any, scene: str, prompt: Prompt, *, sample: int, masks: int | None, rounds: int) -> None:
    """All masks of one view with all of the next: pairs a second in each way."""
    first, second = (crops[:masks] for crops in view_crops(scene))
    pairs = [CropPair(a, b) for a in first for b in second]
    some = [pairs[i] for i in np.random.default_rng(0).choice(len(pairs), min(sample, len(pairs)), replace=False)]
    print(f"\n## All pairs of one view pair: {len(first)} x {len(second)} masks of {scene} = {len(pairs)} pairs\n")
    print("| way | pairs timed | pairs/s | against the original's |\n|---|---|---|---|")
    # Made before the clock runs: finding out whether two towers are the same reads all of their weights.
    one, both = (fresh_judge(model, processor, prompt, both_orders=both_orders) for both_orders in (False, True))
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "the original's, 10 tokens": (len(some), lambda: ask_as_the_original(model, processor, some, least_tokens=10)),
        "the original's, stopped at the end token": (
            len(some),
            lambda: ask_as_the_original(model, processor, some, least_tokens=0),
        ),
        "ours, one order as the original": (
            len(pairs),
            lambda: judge_afresh(one, pairs),
        ),
        "ours, both orders": (len(pairs), lambda: judge_afresh(both, pairs)),
    }
    ask_as_the_original(model, processor, some[:4], least_tokens=10)
    # One after the other in each round, as a shared machine's speed drifts: a round's ways are compared with one another.
    rates = np.array([[count / seconds(work) for count, work in ways.values()] for _ in range(rounds)])
    ratios = np.median(rates / rates[:, :1], axis=0)
    for (words, (count, _)), best, ratio in zip(ways.items(), rates.max(axis=0), ratios, strict=True):
        print(f"| {words} | {count} | {best:.1f} | {ratio:.1f} |", flush=True)


def bench_growth(model: Any, processor: Any, counts: Sequence[int], prompt: Prompt, *, partners: Sequence[int]) -> None:
    """Vision time must grow with crops, not with pairs: each number of crops with few and with many pairs."""
    rng = np.random.default_rng(1)
    print("\n## Time over crops and pairs, one order\n")
    print("| crops | pairs | through the tower | vision s | language s | pairs/s |\n|---|---|---|---|---|---|")
    for count, each in ((count, min(each, count - 1)) for count in counts for each in partners):
        sizes = rng.integers(24, 220, (count, 2))
        crops = [rng.integers(0, 255, (h, w, 3)).astype(np.uint8) for h, w in sizes]
        pairs = [CropPair(crops[i], crops[(i + step) % count]) for i in range(count) for step in range(1, each + 1)]
        judge = fresh_judge(model, processor, prompt, both_orders=False)
        assert judge.vision is not None
        vision = judge.vision
        before = vision.encoded

        def encode(crops: list[UInt8Array] = crops, vision: Any = vision) -> None:
            with torch.inference_mode():
                for start in range(0, len(crops), 256):
                    vision.features(crops[start : start + 256])

        seen = seconds(encode)
        read = seconds(lambda judge=judge, pairs=pairs: judge.judge(pairs))
        total = len(pairs) / (seen + read)
        print(f"| {count} | {len(pairs)} | {vision.encoded - before} | {seen:.2f} | {read:.2f} | {total:.1f} |", flush=True)


def judge_afresh(judge: QwenVlJudge, pairs: Sequence[CropPair]) -> None:
    """Judge as if no crop had been seen before."""
    assert judge.vision is not None
    judge.vision.clear()
    judge.judge(pairs)


def prompt_for(*, is_random: bool) -> Prompt:
    """The original's question; for random weights, which hardly ever answer yes or no, without a second one for every pair."""
    prompt = load_prompt("original")
    return replace(prompt, forced="") if is_random else prompt


def fresh_judge(model: Any, processor: Any, prompt: Prompt, *, both_orders: bool) -> QwenVlJudge:
    """A judge whose vision cache is empty."""
    judge = QwenVlJudge(model, processor, name="bench", prompt=prompt, both_orders=both_orders)
    assert judge.vision is not None
    judge.vision.clear()
    return judge


def main(given: Sequence[str] | None = None) -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", default="sh3d_living")
    parser.add_argument("--sample", type=int, default=40, help="pairs timed in the original's way")
    parser.add_argument("--crops", type=int, nargs="*", help="default: 10, 100 and 1000, with --size 10 and 100")
    parser.add_argument("--partners", type=int, nargs="*", default=[1, 9], help="pairs of each crop")
    parser.add_argument(
        "--size", choices=["2B", "4B", "8B"], help="random weights of this size, on a GPU; default: the bundled model"
    )
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    arguments.crops = arguments.crops or ([10, 100] if arguments.size else [10, 100, 1000])
    with ExitStack() as until:
        if arguments.tiny:
            arguments.scene = str(until.enter_context(tiny_scene()))
            arguments.sample, arguments.crops, arguments.partners = 2, [4], [1]
        bench(arguments)


def bench(arguments: argparse.Namespace) -> None:
    """Print every table."""
    masks, rounds = (2, 1) if arguments.tiny else (None, 1 if arguments.size else ROUNDS)
    processor = AutoProcessor.from_pretrained(BUNDLED_MODEL)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(f"{device}, torch {torch.__version__}, {arguments.size or 'bundled model'}")
    if arguments.size and not torch.cuda.is_available():
        print(f"Skipped: random weights at {arguments.size} size need an NVIDIA GPU, and this machine has none.")
        return
    if arguments.size:
        model = random_model(arguments.size)
        # As large as Qwen3-VL's own processor lets a crop be here, so that a crop has a real number of tokens.
        processor.image_processor.size = {"shortest_edge": LEAST_PX, "longest_edge": MOST_PX}
    else:
        model = AutoModelForImageTextToText.from_pretrained(BUNDLED_MODEL).eval()
        model = model.to("cuda") if torch.cuda.is_available() else model
    processor.tokenizer.padding_side = "left"
    prompt = prompt_for(is_random=arguments.size is not None)
    bench_view_pair(model, processor, arguments.scene, prompt, sample=arguments.sample, masks=masks, rounds=rounds)
    bench_growth(model, processor, arguments.crops, prompt, partners=arguments.partners)
    if torch.cuda.is_available():
        report_gpu(model, processor, arguments.scene, prompt)


def report_gpu(model: Any, processor: Any, scene: str, prompt: Prompt) -> None:
    """Memory, and the share of the chip's bfloat16 peak: 2 operations a weight and token read, attention left out."""
    first, second = view_crops(scene)
    pairs = [CropPair(a, b) for a in first for b in second]
    judge = fresh_judge(model, processor, prompt, both_orders=True)
    tokens = 0

    def count(module: Any, arguments: Any, values: dict[str, Any]) -> None:
        nonlocal tokens
        # What was read before and what only pads is no work.
        tokens += int(values["attention_mask"][:, -values["inputs_embeds"].shape[1] :].sum())

    hook = model.model.language_model.register_forward_pre_hook(count, with_kwargs=True)
    took = seconds(lambda: judge.judge(pairs))
    hook.remove()
    weights = sum(p.numel() for p in model.model.language_model.layers.parameters())
    peak = next((flops for name, flops in BF16_PEAK.items() if name in torch.cuda.get_device_name()), None)
    share = "unknown chip" if peak is None else f"{2 * weights * tokens / took / peak:.1%} of the bf16 peak"
    memory = torch.cuda.max_memory_allocated() / 2**30
    print(
        f"\n{len(pairs) / took:.1f} pairs/s in both orders, {memory:.1f} GiB at most, {tokens} tokens read besides padding, {share}"
    )


if __name__ == "__main__":
    main()
