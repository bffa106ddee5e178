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
from engine.judging.vision_cache import CropFeatures, VisionCache
from engine.types import Verdict

YES_WORDS = ("yes", "Yes", " yes", " Yes", "YES")
NO_WORDS = ("no", "No", " no", " No", "NO")
CHUNK = 256
"""Pairs whose features are held at once."""


class QwenVlJudge:
    """A loaded model with its processor.

    Args:
        model: An image-text-to-text model of transformers, on its device.
        processor: The processor that belongs to it (images, tokenizer, chat template).
        name: Stored with every verdict.
        prompt: What is asked.
        batch_size: Pairs in one forward pass.
        both_orders: Ask (a, b) and (b, a), and average their logits.

    Raises:
        ModelError: If the tokenizer has no single tokens for yes and no.
    """

    def __init__(
        self, model: Any, processor: Any, *, name: str, prompt: Prompt, batch_size: int = 16, both_orders: bool = False
    ) -> None:
        self.name = name
        self.prompt = prompt
        self._model = model
        self._processor = processor
        self._batch_size = batch_size
        self.both_orders = both_orders
        self._yes_ids = answer_token_ids(processor.tokenizer, YES_WORDS)
        self._no_ids = answer_token_ids(processor.tokenizer, NO_WORDS)
        if not self._yes_ids or not self._no_ids:
            raise ModelError(f"The tokenizer of {name!r} has no single tokens for yes and no; pick a Qwen3-VL model.")
        # Left padding keeps the answer at position -1 for every pair of a batch.
        processor.tokenizer.padding_side = "left"
        self._text = processor.apply_chat_template(_messages(prompt), tokenize=False, add_generation_prompt=True)
        self._token_ids: list[int] = processor.tokenizer.encode(self._text, add_special_tokens=False)
        core = _core(model)
        is_qwen3_vl = core.config.model_type == "qwen3_vl"
        self._vision = VisionCache(core.model.visual, processor.image_processor) if is_qwen3_vl else None

    def judge(self, pairs: Sequence[CropPair]) -> list[Verdict]:
        """Return one verdict for each pair, in order; the time of a chunk is shared equally by its pairs."""
        verdicts: list[Verdict] = []
        for start in range(0, len(pairs), CHUNK):
            verdicts += self._judge_chunk(pairs[start : start + CHUNK])
        return verdicts

    @torch.inference_mode()
    def _judge_chunk(self, pairs: Sequence[CropPair]) -> list[Verdict]:
        started = time.perf_counter()
        asked = [*pairs, *(CropPair(pair.b, pair.a) for pair in pairs)] if self.both_orders else list(pairs)
        yes_no = (self._plain_answers(asked) if self._vision is None else self._cached_answers(asked, self._vision)).cpu()
        yes, no = yes_no.view(-1, len(pairs), 2).unbind(-1)
        margin = yes - no
        p_same = torch.sigmoid(margin.mean(dim=0)).tolist()
        ambiguity = (1 - yes.exp() - no.exp()).clamp(0, 1).mean(dim=0).tolist()
        by_order = torch.sigmoid(margin)
        disagreement = (by_order[0] - by_order[-1]).abs().tolist() if self.both_orders else [None] * len(pairs)
        latency = (time.perf_counter() - started) / len(pairs)
        return [
            Verdict(p_same=p, ambiguity=q, model=self.name, prompt=self.prompt.reference, latency_s=latency, swap_disagreement=d)
            for p, q, d in zip(p_same, ambiguity, disagreement, strict=True)
        ]

    def _plain_answers(self, pairs: Sequence[CropPair]) -> torch.Tensor:
        """Log-probabilities of yes and no, (pairs, 2), with every crop encoded for every pair: for any architecture."""
        answers: list[torch.Tensor] = []
        for start in range(0, len(pairs), self._batch_size):
            batch = pairs[start : start + self._batch_size]
            inputs = self._processor(
                text=[self._text] * len(batch),
                images=[image for pair in batch for image in (pair.a, pair.b)],
                input_data_format="channels_last",
                padding=True,
                return_tensors="pt",
            ).to(self._model.device)
            answers.append(self._yes_no(self._model(**inputs, logits_to_keep=1, use_cache=False).logits[:, -1]))
        return torch.cat(answers)

    def _cached_answers(self, pairs: Sequence[CropPair], vision: VisionCache) -> torch.Tensor:
        """The same from cached vision features; pairs of equal grids share a batch, so nothing is padded."""
        features = vision.features([crop for pair in pairs for crop in (pair.a, pair.b)])
        by_grids: dict[tuple[tuple[int, int, int], tuple[int, int, int]], list[int]] = {}
        for index in range(len(pairs)):
            by_grids.setdefault((features[2 * index].grid, features[2 * index + 1].grid), []).append(index)
        answers = torch.empty((len(pairs), 2), device=self._model.device)
        for indices in by_grids.values():
            for start in range(0, len(indices), self._batch_size):
                batch = indices[start : start + self._batch_size]
                answers[batch] = self._yes_no(self._ask_equal([(features[2 * i], features[2 * i + 1]) for i in batch]))
        return answers

    def _ask_equal(self, pairs: Sequence[tuple[CropFeatures, CropFeatures]]) -> torch.Tensor:
        """Next-token logits, (pairs, vocabulary), of pairs whose crops have equal grids."""
        core = _core(self._model)
        device, image_id = self._model.device, core.config.image_token_id
        first, second = pairs[0]
        counts = iter((first.levels.shape[1], second.levels.shape[1]))
        one: list[int] = []
        for token in self._token_ids:
            one += [token] * next(counts) if token == image_id else [token]
        ids = torch.tensor([one], device=device)
        is_image = ids == image_id
        position_ids, _ = core.model.get_rope_index(
            ids, image_grid_thw=torch.tensor([first.grid, second.grid], device=device), mm_token_type_ids=is_image.int()
        )
        levels = torch.stack([torch.cat([a.levels, b.levels], dim=1) for a, b in pairs], dim=1).flatten(1, 2)
        masks = is_image.expand(len(pairs), -1)
        embeds = core.get_input_embeddings()(ids).repeat(len(pairs), 1, 1)
        embeds[masks] = levels[0].to(embeds.dtype)
        states = core.model.language_model(
            inputs_embeds=embeds,
            position_ids=position_ids.expand(-1, len(pairs), -1),
            visual_pos_masks=masks,
            deepstack_visual_embeds=list(levels[1:]),
            use_cache=False,
        ).last_hidden_state
        return core.lm_head(states[:, -1])

    def _yes_no(self, logits: torch.Tensor) -> torch.Tensor:
        log_probs = logits.float().log_softmax(dim=-1)
        return torch.stack([log_probs[:, ids].logsumexp(dim=-1) for ids in (self._yes_ids, self._no_ids)], dim=-1)


def _core(model: Any) -> Any:
    """The model inside a PEFT wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def answer_token_ids(tokenizer: Any, words: Sequence[str]) -> list[int]:
    """Return the ids of those `words` that the tokenizer keeps as one token, without repeats, in order."""
    encoded = [tokenizer.encode(word, add_special_tokens=False) for word in words]
    return list(dict.fromkeys(ids[0] for ids in encoded if len(ids) == 1))


def load_qwen_vl(
    source: str | Path, *, name: str, adapter: Path | None = None, prompt: str = DEFAULT_PROMPT, both_orders: bool = False
) -> QwenVlJudge:
    """Load a model by folder or hub id, optionally with a LoRA adapter.

    Args:
        source: Folder of a saved model, or a hub id such as "Qwen/Qwen3-VL-2B-Instruct".
        name: Stored with every verdict.
        adapter: Folder of a PEFT adapter trained on this model, or None.
        prompt: Name of a prompt.
        both_orders: Ask both orders of a pair and average their logits.

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
    return QwenVlJudge(model.to(device).eval(), processor, name=name, prompt=load_prompt(prompt), both_orders=both_orders)


def _messages(prompt: Prompt) -> list[dict[str, Any]]:
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": prompt.text}]
    return [{"role": "user", "content": content}]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
