"""Judges with a local image-text-to-text model of transformers: the bundled one, any Qwen3-VL of the hub, or a folder.

One prefill a pair, no decoding: P(same) is the softmax over the yes- and no-tokens of the next-token distribution.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from engine.errors import ModelError
from engine.judging.base import DEFAULT_PROMPT, CropPair, Prompt, load_prompt
from engine.types import Verdict

YES_WORDS = ("yes", "Yes", " yes", " Yes", "YES")
NO_WORDS = ("no", "No", " no", " No", "NO")


class QwenVlJudge:
    """A loaded model with its processor.

    Args:
        model: An image-text-to-text model of transformers, on its device.
        processor: The processor that belongs to it (images, tokenizer, chat template).
        name: Stored with every verdict.
        prompt: What is asked.
        batch_size: Pairs in one forward pass.

    Raises:
        ModelError: If the tokenizer has no single tokens for yes and no.
    """

    def __init__(self, model: Any, processor: Any, *, name: str, prompt: Prompt, batch_size: int = 16) -> None:
        self.name = name
        self.prompt = prompt
        self._model = model
        self._processor = processor
        self._batch_size = batch_size
        self._yes_ids = answer_token_ids(processor.tokenizer, YES_WORDS)
        self._no_ids = answer_token_ids(processor.tokenizer, NO_WORDS)
        if not self._yes_ids or not self._no_ids:
            raise ModelError(f"The tokenizer of {name!r} has no single tokens for yes and no; pick a Qwen3-VL model.")
        # Left padding keeps the answer at position -1 for every pair of a batch.
        processor.tokenizer.padding_side = "left"
        self._text = processor.apply_chat_template(_messages(prompt), tokenize=False, add_generation_prompt=True)

    def judge(self, pairs: Sequence[CropPair]) -> list[Verdict]:
        """Return one verdict for each pair, in order; the time of a batch is shared equally by its pairs."""
        verdicts: list[Verdict] = []
        for start in range(0, len(pairs), self._batch_size):
            verdicts += self._judge_batch(pairs[start : start + self._batch_size])
        return verdicts

    @torch.inference_mode()
    def _judge_batch(self, pairs: Sequence[CropPair]) -> list[Verdict]:
        started = time.perf_counter()
        inputs = self._processor(
            text=[self._text] * len(pairs),
            images=[image for pair in pairs for image in (pair.a, pair.b)],
            input_data_format="channels_last",
            padding=True,
            return_tensors="pt",
        ).to(self._model.device)
        logits = self._model(**inputs, logits_to_keep=1, use_cache=False).logits[:, -1].float()
        log_probs = logits.log_softmax(dim=-1)
        yes = log_probs[:, self._yes_ids].logsumexp(dim=-1)
        no = log_probs[:, self._no_ids].logsumexp(dim=-1)
        p_same = torch.sigmoid(yes - no).tolist()
        ambiguity = (1 - yes.exp() - no.exp()).clamp(0, 1).tolist()
        latency = (time.perf_counter() - started) / len(pairs)
        return [
            Verdict(p_same=p, ambiguity=q, model=self.name, prompt=self.prompt.name, latency_s=latency)
            for p, q in zip(p_same, ambiguity, strict=True)
        ]


def answer_token_ids(tokenizer: Any, words: Sequence[str]) -> list[int]:
    """Return the ids of those `words` that the tokenizer keeps as one token, without repeats, in order."""
    encoded = [tokenizer.encode(word, add_special_tokens=False) for word in words]
    return list(dict.fromkeys(ids[0] for ids in encoded if len(ids) == 1))


def load_qwen_vl(source: str | Path, *, name: str, adapter: Path | None = None, prompt: str = DEFAULT_PROMPT) -> QwenVlJudge:
    """Load a model by folder or hub id, optionally with a LoRA adapter.

    Args:
        source: Folder of a saved model, or a hub id such as "Qwen/Qwen3-VL-2B-Instruct".
        name: Stored with every verdict.
        adapter: Folder of a PEFT adapter trained on this model, or None.
        prompt: Name of a prompt.

    Raises:
        ModelError: If the model or the adapter cannot be loaded.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    try:
        processor = AutoProcessor.from_pretrained(source)
        model: Any = AutoModelForImageTextToText.from_pretrained(source, dtype=dtype, use_safetensors=True)
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(adapter))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"The model {name!r} could not be loaded from {source}: {_first_line(error)}") from error
    return QwenVlJudge(model.to(device).eval(), processor, name=name, prompt=load_prompt(prompt))


def _messages(prompt: Prompt) -> list[dict[str, Any]]:
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": prompt.text}]
    return [{"role": "user", "content": content}]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
