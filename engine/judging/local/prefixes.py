"""Reads many pairs with a Qwen3-VL language model: what precedes a pair's second crop is read once for each first crop.

A question is `head, crop A, middle, crop B, tail`. Everything up to and with `middle` depends on A alone: its keys and values
are computed once (the *prefix*) and reused by every pair that starts with A. Prefixes and continuations are packed by length, so
that little is padded; padding is on the right and masked, which a causal model's real tokens never see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from engine.judging.local.passes import PassLimit, attempt
from engine.judging.local.tensors import to_list
from engine.judging.local.vision_cache import CropFeatures
from engine.judging.memory import free_bytes
from engine.judging.shapes import ModelShape

PASS_TOKENS = {"cpu": 2048, "cuda": 16384}
"""Most tokens, padding and prefixes included, in one pass of the language model: a CPU likes short passes, a GPU long ones."""
PASS_SHARE = 0.6
"""Share of the free memory that a pass may take."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """Right-padded rows of tokens, ready for the language model.

    Attributes:
        ids: (rows, length) int64 token ids; crops are runs of the image token.
        positions: (3, rows, length) int64 rotary positions (time, row, column).
        mask: (rows, length) int64, 1 = a real token.
        levels: (1 + deepstack levels, image tokens of all rows, width).
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    levels: torch.Tensor


class PairReader:
    """Asks one Qwen3-VL about pairs of crops whose vision features are known.

    Args:
        core: `Qwen3VLForConditionalGeneration`, without a PEFT wrapper around it (adapters inside it are used).
        pass_tokens: Most tokens in one pass; default: what suits the device. Where little memory is free they are fewer.
        make_room: Called first when memory runs out; returns whether it gave any back.
    """

    def __init__(self, core: Any, *, pass_tokens: int | None = None, make_room: Callable[[], bool] = lambda: False) -> None:
        self._core = core
        embeddings = core.get_input_embeddings().weight
        self._device: torch.device = embeddings.device
        self._limit = PassLimit(pass_tokens or PASS_TOKENS.get(self._device.type, PASS_TOKENS["cpu"]), self._device)
        self._token_bytes = ModelShape.of(core.config).reading_values() * embeddings.itemsize
        self._make_room = make_room
        self.prefixes_read = 0
        """Prefixes computed so far."""

    def read(
        self, pairs: Sequence[tuple[CropFeatures, CropFeatures]], question: Sequence[int]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Read every pair.

        Args:
            pairs: Features of (A, B).
            question: Token ids with one image token for each crop.

        Yields:
            Places in `pairs`, and the last token's hidden states there, (places, width); every place once, in no order.
        """
        image = self._core.config.image_token_id
        first, second = (place for place, token in enumerate(question) if token == image)
        before, after = question[:second], question[second:]
        assert first < len(before)
        waiting = list(range(len(pairs)))
        while waiting:
            limit = min(self._limit.units, fit_tokens(free_bytes(self._device), self._token_bytes))
            answered: set[int] = set()
            tried: list[int] = []
            for found in self._read_within(pairs, waiting, (before, after), limit, tried):
                answered.update(found[0])
                yield found
            waiting = [place for place in waiting if place not in answered]
            if tried and not self._make_room():
                self._limit.lower(limit if tried[0] > 1 else 1, "one pair")

    def _read_within(
        self,
        pairs: Sequence[tuple[CropFeatures, CropFeatures]],
        waiting: Sequence[int],
        question: tuple[Sequence[int], Sequence[int]],
        limit: int,
        tried: list[int],
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Read the pairs at the places `waiting`; where memory runs out, stop and put into `tried` how many were read at once."""
        before, after = question
        by_first: dict[int, list[int]] = {}
        for place in waiting:
            by_first.setdefault(id(pairs[place][0]), []).append(place)
        groups = sorted(by_first.values(), key=lambda places: pairs[places[0]][0].tokens)
        sizes = [len(before) + pairs[places[0]][0].tokens for places in groups]
        for start, stop in pack(sizes, limit):
            prefixes = [pairs[places[0]][0] for places in groups[start:stop]]
            read = attempt(self._read_prefixes, prefixes, before)
            if read is None:
                tried.append(len(prefixes))
                return
            rows, past = read
            self.prefixes_read += len(prefixes)
            members = [(row, place) for row, places in enumerate(groups[start:stop]) for place in places]
            members.sort(key=lambda member: pairs[member[1]][1].tokens)
            longest = rows.ids.shape[1]
            for first, last in pack([longest + len(after) + pairs[place][1].tokens for _, place in members], limit):
                batch = members[first:last]
                places = [place for _, place in batch]
                states = attempt(self._continue, pairs, batch, after, *read)
                if states is None:
                    tried.append(max(len(prefixes), len(batch)))
                    return
                yield places, states
            del rows, past, read

    def _read_prefixes(self, prefixes: Sequence[CropFeatures], question: Sequence[int]) -> tuple[_Rows, Any]:
        rows = self._rows(prefixes, question, [0] * len(prefixes))
        return rows, self._run(rows, None).past_key_values

    def _continue(
        self,
        pairs: Sequence[tuple[CropFeatures, CropFeatures]],
        batch: Sequence[tuple[int, int]],
        question: Sequence[int],
        prefixes: _Rows,
        past: Any,
    ) -> torch.Tensor:
        """Return the last token's hidden state of each (row of its prefix, place in `pairs`), (batch, width)."""
        # Where a prefix ends, the next position is one more than its largest (its padding repeats position 0).
        next_position = to_list(prefixes.positions.amax(dim=(0, 2)).add(1))
        own = [row for row, _ in batch]
        rows = self._rows([pairs[place][1] for _, place in batch], question, [next_position[row] for row in own])
        index = torch.tensor(own, device=self._device)
        taken: Any = DynamicCache(config=self._core.config)
        for layer, kept in enumerate(past.layers):
            taken.update(kept.keys[index], kept.values[index], layer)
        states = self._run(rows, taken, torch.cat([prefixes.mask[index], rows.mask], dim=1)).last_hidden_state
        last = rows.mask.sum(dim=1) - 1
        return states[torch.arange(len(batch), device=self._device), last]

    def _rows(self, crops: Sequence[CropFeatures], question: Sequence[int], starts: Sequence[int]) -> _Rows:
        """Put one crop where each row's question has its image token."""
        image = self._core.config.image_token_id
        place = list(question).index(image)
        length = len(question) - 1 + max(crop.tokens for crop in crops)
        ids = torch.zeros((len(crops), length), dtype=torch.int64)
        positions = torch.zeros((3, len(crops), length), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        known: dict[tuple[int, int, int], tuple[torch.Tensor, torch.Tensor]] = {}
        for row, (crop, start) in enumerate(zip(crops, starts, strict=True)):
            if crop.grid not in known:
                one = torch.tensor([[*question[:place], *[image] * crop.tokens, *question[place + 1 :]]])
                where, _ = self._core.model.get_rope_index(
                    one, image_grid_thw=torch.tensor([crop.grid]), mm_token_type_ids=(one == image).int()
                )
                known[crop.grid] = one[0], where[:, 0]
            one, where = known[crop.grid]
            ids[row, : len(one)], positions[:, row, : len(one)], mask[row, : len(one)] = one, where + start, 1
        levels = torch.cat([crop.levels for crop in crops], dim=1)
        return _Rows(ids.to(self._device), positions.to(self._device), mask.to(self._device), levels)

    def _run(self, rows: _Rows, past: Any, mask: torch.Tensor | None = None) -> Any:
        is_image = rows.ids == self._core.config.image_token_id
        embeds = self._core.get_input_embeddings()(rows.ids)
        embeds[is_image] = rows.levels[0].to(embeds.dtype)
        return self._core.model.language_model(
            inputs_embeds=embeds,
            attention_mask=rows.mask if mask is None else mask,
            position_ids=rows.positions,
            past_key_values=past,
            visual_pos_masks=is_image,
            deepstack_visual_embeds=list(rows.levels[1:]),
            use_cache=True,
        )


def fit_tokens(free: int, token_bytes: int) -> int:
    """Return how many tokens a pass may have where so many bytes are free; one at least."""
    return max(int(PASS_SHARE * free) // token_bytes, 1)


def pack(sizes: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    """Cut ascending sizes into runs whose padded total, rows x longest, stays within `limit`; a run has at least one row.

    Yields:
        (start, stop) of each run.
    """
    start = 0
    for stop in range(1, len(sizes) + 1):
        if stop == len(sizes) or sizes[stop] * (stop + 1 - start) > limit:
            yield start, stop
            start = stop
