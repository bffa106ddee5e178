"""Where memory runs out, a judge does less at once and answers the same; at the end it says so in one sentence."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from engine.assets import BUNDLED_MODEL
from engine.errors import ModelError
from engine.judging.base import CropPair, load_prompt
from engine.judging.local import prefixes
from engine.judging.local.loading import load_model
from engine.judging.local.passes import PassLimit, attempt, is_out_of_memory
from engine.judging.local.prefixes import PASS_SHARE, fit_tokens
from engine.judging.local.qwen_vl import QwenVlJudge
from engine.judging.memory import free_bytes
from engine.judging.sources import LoadOptions
from tests.other_models import write_qwen2_5_vl

ERRORS: list[Callable[[], BaseException]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    lambda: RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    lambda: RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
    MemoryError,
    lambda: OSError(errno.ENOMEM, "Cannot allocate memory"),
]


def crops(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (32, 32, 3)).astype(np.uint8) for _ in range(count)]


@pytest.fixture
def judge() -> QwenVlJudge:
    model: Any = AutoModelForImageTextToText.from_pretrained(BUNDLED_MODEL).eval()
    # A tower of this test's own, so that its features are shared with no other test.
    with torch.no_grad():
        model.model.visual.patch_embed.proj.weight.mul_(1.01)
    return QwenVlJudge(model, AutoProcessor.from_pretrained(BUNDLED_MODEL), name="small", prompt=load_prompt())


class Short:
    """Makes a layer run out of memory on more than `most` values, and counts its passes."""

    def __init__(self, layer: Any, most: float, error: Callable[[], BaseException], size: Callable[[Any], int]) -> None:
        self.passes = self.failures = 0
        self.most, self._error, self._size = most, error, size
        self._hook = layer.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, _layer: Any, args: Any, kwargs: Any) -> None:
        self.passes += 1
        if self._size(kwargs["inputs_embeds"] if "inputs_embeds" in kwargs else args[0]) > self.most:
            self.failures += 1
            raise self._error()

    def remove(self) -> None:
        self._hook.remove()


def rows_of(states: torch.Tensor) -> int:
    return states.shape[0]


def tokens_of(states: torch.Tensor) -> int:
    return states.shape[0] * states.shape[1]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("most", [1, 3])
def test_the_language_model_reads_fewer_pairs_at_once(judge: QwenVlJudge, error: Callable[[], BaseException], most: int) -> None:
    made = crops(3)
    pairs = [CropPair(a, b) for a in made for b in made]
    expected = [verdict.p_same for verdict in judge.judge(pairs, both_orders=True)]
    short = Short(judge._core.model.language_model, most, error, rows_of)
    assert [verdict.p_same for verdict in judge.judge(pairs, both_orders=True)] == pytest.approx(expected, abs=1e-5)
    assert short.failures > 0
    before = short.failures
    judge.judge(pairs)
    # What did not fit is remembered.
    assert short.failures == before


@pytest.mark.parametrize("most", [0, 3])
def test_the_tower_takes_fewer_pictures_at_once(judge: QwenVlJudge, most: int) -> None:
    made = crops(6)
    pairs = [CropPair(made[0], made[i]) for i in range(6)]
    assert judge.vision is not None
    expected = [verdict.p_same for verdict in judge.judge(pairs)]
    judge.vision.clear()
    patches = judge.vision.features(made[:1])[0].tokens * 4
    judge.vision.clear()
    Short(judge._core.model.visual.patch_embed, most * patches, ERRORS[0], rows_of)
    if most:
        assert [verdict.p_same for verdict in judge.judge(pairs)] == pytest.approx(expected, abs=1e-5)
        assert judge.vision.passes >= 2
    else:
        with pytest.raises(ModelError, match="Memory ran out on cpu with only one picture at once"):
            judge.judge(pairs)


def test_features_are_forgotten_before_passes_get_smaller(judge: QwenVlJudge) -> None:
    made = crops(3)
    judge.judge([CropPair(made[0], made[1])])
    assert judge.vision is not None
    assert judge._reader is not None
    assert judge.vision.held > 0
    limit = judge._reader._limit.units
    failures = iter([ERRORS[0]])

    def once(*_: Any) -> None:
        for error in failures:
            raise error()

    judge._core.model.language_model.register_forward_pre_hook(once)
    judge.judge([CropPair(made[0], made[2])])
    assert judge._reader._limit.units == limit


@pytest.mark.parametrize("most", [1, 4])
def test_fewer_pairs_are_held_at_once_where_their_answers_do_not_fit(judge: QwenVlJudge, most: int) -> None:
    """Memory may run out outside the passes too: the answers' own logits, or features that the cache cannot drop."""
    made = crops(4)
    pairs = [CropPair(a, b) for a in made for b in made]
    expected = [verdict.p_same for verdict in judge.judge(pairs)]
    short = Short(judge._core.lm_head, most, ERRORS[0], rows_of)
    assert [verdict.p_same for verdict in judge.judge(pairs)] == pytest.approx(expected, abs=1e-5)
    assert short.failures > 0
    short.most = 0
    with pytest.raises(ModelError, match="Memory ran out on cpu with only one pair at once"):
        judge.judge(pairs)


@pytest.mark.parametrize("place", ["language model", "tower"])
def test_fewer_pairs_are_held_at_once_where_they_leave_no_room_for_the_smallest_pass(judge: QwenVlJudge, place: str) -> None:
    made = crops(4)
    pairs = [CropPair(a, b) for a in made for b in made]
    expected = [verdict.p_same for verdict in judge.judge(pairs)]
    assert judge.vision is not None
    judge.vision.clear()

    def run_out(*_: Any) -> None:
        if judge._chunk.units > 4:
            raise ERRORS[0]()

    # The cache may be another judge's with equal weights, which is not collected yet: its tower is the one that encodes.
    layer = judge._core.model.language_model if place == "language model" else judge.vision._visual.patch_embed
    hook = layer.register_forward_pre_hook(run_out)
    found = judge.judge(pairs)
    hook.remove()
    assert [verdict.p_same for verdict in found] == pytest.approx(expected, abs=1e-5)
    assert judge._chunk.units == 4


@pytest.mark.parametrize("error", ERRORS)
def test_a_model_that_does_not_fit_while_it_is_loaded(monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException]) -> None:
    def run_out(*_: Any, **__: Any) -> None:
        raise error()

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", run_out)
    with pytest.raises(ModelError, match="base does not fit into the memory of cpu; take a smaller model"):
        load_model(BUNDLED_MODEL, name="base", options=LoadOptions(device="cpu"))


def test_nothing_left_to_halve_is_one_sentence(judge: QwenVlJudge) -> None:
    made = crops(2)
    Short(judge._core.model.language_model, 0, ERRORS[0], rows_of)
    with pytest.raises(ModelError, match="Memory ran out on cpu with only one pair at once; close other programs") as caught:
        judge.judge([CropPair(made[0], made[1]), CropPair(made[1], made[0])])
    assert "\n" not in str(caught.value)


def test_other_architectures_too(tmp_path: Path) -> None:
    folder = write_qwen2_5_vl(tmp_path)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder).eval()
    judge = QwenVlJudge(model, AutoProcessor.from_pretrained(folder), name="other", prompt=load_prompt())
    made = crops(3)
    pairs = [CropPair(a, b) for a in made for b in made]
    expected = [verdict.p_same for verdict in judge.judge(pairs)]
    short = Short(judge._core.model.language_model, 2, ERRORS[0], rows_of)
    assert [verdict.p_same for verdict in judge.judge(pairs)] == pytest.approx(expected, abs=1e-4)
    assert short.failures > 0
    short.most = 0
    with pytest.raises(ModelError, match="Memory ran out"):
        judge.judge(pairs)


def test_little_free_memory_makes_short_passes_from_the_start(judge: QwenVlJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    made = crops(4)
    pairs = [CropPair(a, b) for a in made for b in made]
    expected = [verdict.p_same for verdict in judge.judge(pairs)]
    assert judge._reader is not None
    most = 200
    monkeypatch.setattr(prefixes, "free_bytes", lambda _: most * judge._reader._token_bytes / PASS_SHARE)
    short = Short(judge._core.model.language_model, most, ERRORS[0], tokens_of)
    assert [verdict.p_same for verdict in judge.judge(pairs)] == pytest.approx(expected, abs=1e-5)
    assert short.failures == 0
    assert short.passes > 4


def test_other_errors_are_not_taken_for_it() -> None:
    def fail() -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        attempt(fail)
    assert all(is_out_of_memory(make()) for make in ERRORS)
    assert not is_out_of_memory(ValueError("out of memory"))
    assert not is_out_of_memory(OSError(errno.ENOSPC, "No space left on device"))


def test_limits_fall_to_one_and_no_further() -> None:
    limit = PassLimit(100, torch.device("cpu"))
    seen: list[int] = []
    while limit.units > 1:
        limit.lower(limit.units, "one pair")
        seen.append(limit.units)
    assert seen == [50, 25, 12, 6, 3, 1]
    with pytest.raises(ModelError, match="only one pair at once"):
        limit.lower(limit.units, "one pair")
    assert fit_tokens(0, 10) == 1


def test_what_torch_only_keeps_in_reserve_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of 24 GB, 2 GB of them free, 20 GB reserved by this process, of which tensors use 5."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * 10**9, 24 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 20 * 10**9)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 5 * 10**9)
    assert free_bytes(torch.device("cuda:0")) == 17 * 10**9


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU; run with -m gpu")
def test_memory_of_a_dead_model_is_free_on_a_gpu() -> None:
    device = torch.device("cuda:0")
    before = free_bytes(device)
    block = torch.empty(2**30, dtype=torch.uint8, device=device)
    assert free_bytes(device) <= before - 2**29
    del block
    assert free_bytes(device) >= before - 2**28
