"""Judges with a local image-text-to-text model of transformers: the bundled one, any Qwen3-VL of the hub, or a folder.

One prefill a pair, no decoding: P(same) is the softmax over the yes- and no-tokens of the next-token distribution.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.errors import ModelError
from engine.judging.base import AMBIGUOUS_ABOVE, DEFAULT_PROMPT, CropPair, Prompt, load_prompt
from engine.judging.calibration.fit import Calibration, load_calibration, usable_with
from engine.judging.local.answer_logits import answer_log_probs, ask_for_log_probs
from engine.judging.local.loading import load_model
from engine.judging.local.passes import PassLimit, SmallestPassError, attempt, release_memory
from engine.judging.local.prefixes import PairReader
from engine.judging.local.tensors import to_list
from engine.judging.local.vision_cache import shared_cache
from engine.judging.naming import ANSWER_TOKENS, LEAST_VOCABULARY, cannot_name
from engine.judging.pixel_limits import fit_picture, own_limit_of
from engine.judging.sources import LoadOptions
from engine.types import Float32Array, UInt8Array, Verdict, no_probability

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
        batch_size: Pairs in one forward pass of a model that is no Qwen3-VL; Qwen3-VL's passes are limited by tokens.
        both_orders: Ask (a, b) and (b, a), and average their logits, unless `judge` is told otherwise.
        calibration: Corrects P(same); used only with the prompt that it was fitted on.

    Raises:
        ModelError: If the tokenizer has no single tokens for yes and no.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        name: str,
        prompt: Prompt,
        batch_size: int = 16,
        both_orders: bool = False,
        calibration: Calibration | None = None,
    ) -> None:
        self.name = name
        self.prompt = prompt
        self.both_orders = both_orders
        self.calibration = usable_with(calibration, prompt)
        self._model = model
        self._processor = processor
        self._answer_ids = [answer_token_ids(processor.tokenizer, words) for words in (YES_WORDS, NO_WORDS)]
        if not all(self._answer_ids):
            raise ModelError(f"The tokenizer of {name!r} has no single tokens for yes and no; pick a Qwen3-VL model.")
        # Left padding keeps the answer at position -1 for every pair of a batch.
        processor.tokenizer.padding_side = "left"
        self._core = core = _core(model)
        is_qwen3_vl = core.config.model_type == "qwen3_vl"
        self.vision = shared_cache(core.model.visual, processor.image_processor) if is_qwen3_vl else None
        self._reader = PairReader(core, make_room=self.vision.give_back) if self.vision is not None else None
        self._chunk = PassLimit(CHUNK, core.device)
        self._plain_limit = PassLimit(batch_size, core.device)

    def leave_tower_out(self) -> bool:
        """Remove an adapter's part in the vision tower permanently; returns whether there was one."""
        found = [p for name, p in self._model.named_parameters() if "lora_B" in name and ".visual." in name]
        with torch.no_grad():
            for parameter in found:
                parameter.zero_()
        if found and self.vision is not None:
            self.vision.clear()
        return bool(found)

    def judge(self, pairs: Sequence[CropPair], *, both_orders: bool | None = None) -> list[Verdict]:
        """Return one verdict for each pair, in order; the time of a chunk is shared equally by its pairs.

        Raises:
            ModelError: If the model answers with NaN or infinity, or memory runs out with a single pair.
        """
        both = self.both_orders if both_orders is None else both_orders
        verdicts: list[Verdict] = []
        while len(verdicts) < len(pairs):
            chunk = pairs[len(verdicts) : len(verdicts) + self._chunk.units]
            found = self._try_chunk(chunk, both_orders=both)
            if found is None:
                self._chunk.lower(len(chunk), "one pair")
                continue
            verdicts += found
        return verdicts

    def _try_chunk(self, pairs: Sequence[CropPair], *, both_orders: bool) -> list[Verdict] | None:
        """Return the verdicts of a chunk; None if memory ran out and fewer pairs may fit.

        Raises:
            SmallestPassError: If memory ran out with a single pair.
        """
        try:
            return attempt(self._judge_chunk, pairs, both_orders=both_orders)
        except SmallestPassError:
            if len(pairs) == 1:
                raise
        # The passes were as small as they get, but beside them the features of all these pairs were held.
        release_memory()
        return None

    @torch.inference_mode()
    def say(self, crops: Sequence[UInt8Array], question: str) -> list[str]:
        """Return what the model says of each picture, (h, w, 3) uint8 each: its likeliest answer, of a few words.

        Raises:
            ModelError: If its tokenizer has no words.
        """
        if len(self._processor.tokenizer) < LEAST_VOCABULARY:
            raise cannot_name(self.name)
        text = question_text(self._processor, question, pictures=1)
        own_limit = own_limit_of(self._processor.image_processor)
        said: list[str] = []
        for crop in crops:
            pictures = [[fit_picture(crop, own_limit=own_limit)]]
            inputs = self._processor(text=[text], images=pictures, input_data_format="channels_last", return_tensors="pt")
            inputs = inputs.to(self._model.device)
            tokens = self._model.generate(**inputs, max_new_tokens=ANSWER_TOKENS, do_sample=False)
            answer = tokens[0, inputs["input_ids"].shape[1] :]
            said.append(str(self._processor.tokenizer.decode(answer, skip_special_tokens=True)))
        return said

    @torch.inference_mode()
    def embed(self, crops: Sequence[UInt8Array]) -> Float32Array | None:
        """Return the mean of the vision tower's embeddings over each crop, (N, D) float32; None for a model without such a tower.

        The features stay in the cache, from which `judge` answers about pairs of the same crops.
        """
        if self.vision is None or not crops:
            return None
        return np.stack([found.levels[0].float().mean(dim=0).cpu().numpy() for found in self.vision.features(crops)])

    @torch.inference_mode()
    def _judge_chunk(self, pairs: Sequence[CropPair], *, both_orders: bool) -> list[Verdict]:
        started = time.perf_counter()
        asked = [*pairs, *(CropPair(pair.b, pair.a) for pair in pairs)] if both_orders else list(pairs)
        answers = self._answers(asked, self.prompt.text)
        is_unclear = _mass_elsewhere(answers) > AMBIGUOUS_ABOVE
        unclear: list[int] = to_list(is_unclear.nonzero().flatten()) if self.prompt.forced else []
        if unclear:
            answers[unclear] = self._answers([asked[i] for i in unclear], self.prompt.forced_text)
        by_order = answers.view(-1, len(pairs), 2)
        raw = by_order[..., 0] - by_order[..., 1]
        margins = raw if self.calibration is None else self.calibration.apply(raw)
        p_same, p_raw = to_list(torch.sigmoid(margins.mean(dim=0))), to_list(torch.sigmoid(raw.mean(dim=0)))
        p_by_order = torch.sigmoid(margins)
        disagreement = to_list((p_by_order[0] - p_by_order[-1]).abs())
        ambiguity = to_list(_mass_elsewhere(by_order).mean(dim=0))
        forced = {i % len(pairs) for i in unclear}
        latency = (time.perf_counter() - started) / len(pairs)
        return [
            Verdict(
                p_same=p_same[i],
                ambiguity=ambiguity[i],
                model=self.name,
                prompt=self.prompt.reference,
                latency_s=latency,
                swap_disagreement=disagreement[i] if both_orders else None,
                forced=i in forced,
                uncalibrated=None if self.calibration is None else p_raw[i],
            )
            for i in range(len(pairs))
        ]

    def _answers(self, pairs: Sequence[CropPair], question: str) -> torch.Tensor:
        """Return log-probabilities of yes and of no, (pairs, 2) float32 on the CPU.

        Raises:
            ModelError: If one of them is not finite, which a softmax of finite logits never gives.
        """
        answers = self._ask(pairs, question)
        if not answers.isfinite().all():
            raise no_probability(self.name, float(answers[~answers.isfinite()][0]))
        return answers

    def _ask(self, pairs: Sequence[CropPair], question: str) -> torch.Tensor:
        if self.vision is None or self._reader is None:
            return self._plain_answers(pairs, question_text(self._processor, question)).cpu()
        features = self.vision.features([crop for pair in pairs for crop in (pair.a, pair.b)])
        ids = question_ids(self._processor, question)
        answers = torch.empty((len(pairs), 2), device=self._model.device)
        for places, states in self._reader.read(list(zip(features[::2], features[1::2], strict=True)), ids):
            answers[places] = answer_log_probs(self._core.lm_head, states, self._answer_ids)
        return answers.cpu()

    def _plain_answers(self, pairs: Sequence[CropPair], text: str) -> torch.Tensor:
        """The same without caches: every crop is encoded for every pair. Works with any architecture."""
        answers: list[torch.Tensor] = []
        waiting = list(pairs)
        while waiting:
            batch = waiting[: self._plain_limit.units]
            found = attempt(self._ask_plainly, batch, text)
            if found is None:
                self._plain_limit.lower(len(batch), "one pair")
                continue
            answers.append(found)
            waiting = waiting[len(batch) :]
        return torch.cat(answers)

    def _ask_plainly(self, pairs: Sequence[CropPair], text: str) -> torch.Tensor:
        own_limit = own_limit_of(self._processor.image_processor)
        inputs = self._processor(
            text=[text] * len(pairs),
            # A list for each question: some processors (Gemma's, SmolVLM's) take a plain list for the pictures of a single one.
            images=[[fit_picture(image, own_limit=own_limit) for image in (pair.a, pair.b)] for pair in pairs],
            input_data_format="channels_last",
            padding=True,
            return_tensors="pt",
        ).to(self._model.device)
        return ask_for_log_probs(self._core, inputs, self._answer_ids)


def _mass_elsewhere(answers: torch.Tensor) -> torch.Tensor:
    """Return the probability on neither, (...) float, from log-probabilities of yes and no, (..., 2) float."""
    return (1 - answers.exp().sum(dim=-1)).clamp(0, 1)


def _core(model: Any) -> Any:
    """The model inside a PEFT wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def question_text(processor: Any, question: str, *, pictures: int = 2) -> str:
    """Return a question about crops as the model's chat template writes it, with one image token for each crop."""
    content = [*[{"type": "image"}] * pictures, {"type": "text", "text": question}]
    return processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)


def question_ids(processor: Any, question: str) -> list[int]:
    """Return the token ids of such a question."""
    return list(processor.tokenizer.encode(question_text(processor, question), add_special_tokens=False))


def answer_token_ids(tokenizer: Any, words: Sequence[str]) -> list[int]:
    """Return the ids of those `words` that the tokenizer keeps as one token, without repeats, in order."""
    encoded = [tokenizer.encode(word, add_special_tokens=False) for word in words]
    return list(dict.fromkeys(ids[0] for ids in encoded if len(ids) == 1))


def load_qwen_vl(
    source: str | Path,
    *,
    name: str,
    adapter: Path | None = None,
    prompt: str = DEFAULT_PROMPT,
    both_orders: bool = False,
    options: LoadOptions | None = None,
    calibration: Calibration | None = None,
) -> QwenVlJudge:
    """Load a model by folder or hub id, optionally with a LoRA adapter.

    Args:
        source: Folder of a saved model, or a hub id such as "Qwen/Qwen3-VL-2B-Instruct".
        name: Stored with every verdict.
        adapter: Folder of a PEFT adapter trained on this model, or None.
        prompt: Name of a prompt.
        both_orders: Ask both orders of a pair and average their logits.
        options: Device, dtype and loader.
        calibration: Used instead of the one beside the weights.

    Raises:
        ModelError: If the model or the adapter cannot be loaded.
    """
    loaded = load_model(source, name=name, adapter=adapter, options=options)
    asked = load_prompt(prompt)
    return QwenVlJudge(
        loaded.model,
        loaded.processor,
        name=name,
        prompt=asked,
        both_orders=both_orders,
        calibration=load_calibration(adapter or source, asked) if calibration is None else calibration,
    )
