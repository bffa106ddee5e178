"""How far P(same) read from a server's k likeliest tokens is from the softmax over all tokens: `python -m tests.bench.bench_floor`.

The bundled model answers pairs of the bundled room; its full distribution is cut to the k likeliest tokens and read as a server's
list would be. No server is needed for that: the lists are the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from engine.assets import BUNDLED_MODEL, SCENES_DIR
from engine.judging.base import load_prompt
from engine.judging.served.parsing import UNCLEAR, mass_from_logprobs, mass_from_text
from engine.scenes import find_scene
from engine.types import MaskKey
from engine.views.crops import show_mask
from engine.views.frames import FrameSource
from tests.bench.tiny_sizes import add_tiny_option

PAIRS = 200
TOPS = (20, 10, 5, 2, 1)


def main(given: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_floor", description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    count = 3 if arguments.tiny else arguments.pairs
    frames = FrameSource(find_scene("sh3d_living", SCENES_DIR))
    views = frames.scene.view_names[: 2 if arguments.tiny else None]
    keys = [MaskKey(view, mask) for view in views for mask, n in frames.frame(view).mask_areas.items() if n > 300]
    rng = np.random.default_rng(0)
    chosen = [(keys[i], keys[j]) for i, j in rng.integers(0, len(keys), size=(count, 2))]
    model = AutoModelForImageTextToText.from_pretrained(BUNDLED_MODEL, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(BUNDLED_MODEL)
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": load_prompt("original").text}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
    rows: dict[str, list[tuple[float, float, bool]]] = {}
    for a, b in chosen:
        images = [show_mask(frames.frame(key.view), key) for key in (a, b)]
        inputs = processor(text=[text], images=images, input_data_format="channels_last", return_tensors="pt")
        with torch.inference_mode():
            scores = model(**inputs).logits[0, -1].log_softmax(-1)
        listed = [(processor.tokenizer.decode([i]), value) for i, value in enumerate(scores.tolist())]
        listed.sort(key=lambda entry: -entry[1])
        full = mass_from_logprobs(listed).p_same
        for top in TOPS:
            mass = mass_from_logprobs(listed[:top])
            rows.setdefault(f"{top} tokens", []).append(
                (abs(mass.p_same - full), mass.error_bound, (mass.p_same >= 0.5) == (full >= 0.5))
            )
        mass = mass_from_text(listed[0][0]) or UNCLEAR
        rows.setdefault("words only", []).append((abs(mass.p_same - full), mass.error_bound, (mass.p_same >= 0.5) == (full >= 0.5)))
    print("| list | mean error of P(same) | largest | largest bound | same answer |\n|---|---|---|---|---|")
    for name, found in rows.items():
        errors, bounds, same = (np.array(column) for column in zip(*found, strict=True))
        bound = "none" if name == "words only" else f"{bounds.max():.4f}"
        print(f"| {name} | {errors.mean():.4f} | {errors.max():.4f} | {bound} | {same.mean():.1%} |")


if __name__ == "__main__":
    main()
