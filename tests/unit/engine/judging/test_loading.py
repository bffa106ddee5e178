"""Finding and loading models: names, adapters and their bases, memory, devices, other architectures, and what goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from engine.assets import BUNDLED_MODEL
from engine.errors import ModelError
from engine.judging.adapters import base_of, record_base
from engine.judging.base import CropPair, load_prompt
from engine.judging.local.loading import four_bit_config, load_model, pick_device, pick_dtype
from engine.judging.local.qwen_vl import QwenVlJudge
from engine.judging.local.unsloth_import import SWITCHES
from engine.judging.local.unsloth_loader import load_with_unsloth, unsloth_arguments
from engine.judging.memory import OVERHEAD, count_configured, count_quantised, count_stored, is_kept_whole, needed_bytes
from engine.judging.registry import load_judge
from engine.judging.sources import LoadOptions, resolve_model
from tests.model_process import write_adapter


def pairs(count: int, seed: int = 0) -> list[CropPair]:
    rng = np.random.default_rng(seed)
    crops = [rng.integers(0, 255, size=(*rng.integers(30, 120, size=2), 3)).astype(np.uint8) for _ in range(2 * count)]
    return [CropPair(crops[2 * i], crops[2 * i + 1]) for i in range(count)]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapters") / "mine")


@pytest.fixture
def own_adapter(adapter: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(adapter, tmp_path / "broken"))


def edit_config(adapter: Path, **fields: object) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_an_adapter_folder_is_a_model_and_changes_the_answers(adapter: Path) -> None:
    by_folder, by_base = load_judge(str(adapter)), load_judge("base", adapter=adapter)
    assert by_folder.name == by_base.name == "mine"
    asked = pairs(4)
    answers = [verdict.p_same for verdict in by_folder.judge(asked)]
    assert answers == pytest.approx([verdict.p_same for verdict in by_base.judge(asked)], abs=1e-6)
    plain = [verdict.p_same for verdict in load_judge("base").judge(asked)]
    assert max(abs(a - b) for a, b in zip(answers, plain, strict=True)) > 0.02


def test_the_base_of_an_adapter(own_adapter: Path, tmp_path: Path) -> None:
    assert base_of(own_adapter) == str(BUNDLED_MODEL)
    edit_config(own_adapter, base_model_name_or_path="/another/machine/tiny-qwen3-vl")
    assert base_of(own_adapter) == str(BUNDLED_MODEL)
    edit_config(own_adapter, base_model_name_or_path="Qwen/Qwen3-VL-2B-Instruct")
    assert base_of(own_adapter) == "Qwen/Qwen3-VL-2B-Instruct"
    edit_config(own_adapter, base_model_name_or_path="/another/machine/big")
    with pytest.raises(ModelError, match=r"was trained on '/another/machine/big', which is not here; correct base_model"):
        load_judge(str(own_adapter))


def test_an_adapter_for_wider_layers_is_refused(own_adapter: Path) -> None:
    weights = load_file(own_adapter / "adapter_model.safetensors")
    name = next(name for name in weights if name.endswith("lora_A.weight"))
    weights[name] = torch.zeros(4, 2048)
    save_file(weights, own_adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"is for another base than .*: its .*_proj is 2048 wide, the base's 192; give the base"):
        load_judge("base", adapter=own_adapter)


def test_an_adapter_for_more_layers_is_refused(own_adapter: Path) -> None:
    weights = load_file(own_adapter / "adapter_model.safetensors")
    save_file(
        {name.replace("layers.3", "layers.27"): tensor for name, tensor in weights.items()},
        own_adapter / "adapter_model.safetensors",
    )
    with pytest.raises(ModelError, match=r"is for another base than .*: the base has no layer .*layers\.27"):
        load_judge("base", adapter=own_adapter)


def test_an_adapter_for_other_weights_of_the_same_shape_is_refused(own_adapter: Path, tmp_path: Path) -> None:
    """A retrained base looks the same from outside; what it was trained on is written beside the adapter."""
    retrained = Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "retrained"))
    weights = load_file(retrained / "model.safetensors")
    save_file({name: tensor + 0.01 for name, tensor in weights.items()}, retrained / "model.safetensors", metadata={"format": "pt"})
    record_base(own_adapter, retrained)
    assert load_judge(str(retrained), adapter=own_adapter).judge(pairs(1))
    with pytest.raises(ModelError, match="the base's weights are others than those it was trained on"):
        load_judge("base", adapter=own_adapter)
    record_base(own_adapter, BUNDLED_MODEL)
    assert load_judge("base", adapter=own_adapter)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "adapter_config.json").write_text("[]"), r"cannot be read \(expected an object\)"),
        (lambda folder: edit_config(folder, peft_type="IA3"), "is of the kind IA3; expected LORA"),
        (
            lambda folder: (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin"),
            "has no adapter_model.safetensors",
        ),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"nothing of the kind"), "is no safetensors file"),
        (lambda folder: save_file({"x": torch.zeros(1)}, folder / "adapter_model.safetensors"), "holds no LoRA weights"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "is no adapter: it has no adapter_config.json"),
    ],
)
def test_broken_adapters_are_one_sentence(own_adapter: Path, spoil: Callable[[Path], object], sentence: str) -> None:
    spoil(own_adapter)
    with pytest.raises(ModelError, match=sentence) as caught:
        load_judge("base", adapter=own_adapter)
    assert "\n" not in str(caught.value)


def test_an_adapter_on_an_adapter(adapter: Path) -> None:
    with pytest.raises(ModelError, match="is an adapter itself"):
        load_judge(str(adapter), adapter=adapter)


def write_giant(folder: Path, *, values: int) -> Path:
    """A model's folder whose weights file says that it holds so many values; the file is a hole, the disk stays empty."""
    shutil.copytree(BUNDLED_MODEL, folder)
    size = 4 * values
    header = json.dumps({"giant": {"dtype": "F32", "shape": [values], "data_offsets": [0, size]}}).encode()
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
    return folder


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    giant = write_giant(tmp_path / "giant", values=10**13)
    with pytest.raises(
        ModelError, match=r"giant needs about 40,000\.\d GB in float32 and [\d,.]+ GB are free on cpu; take a smaller model"
    ):
        load_judge(str(giant))
    with pytest.raises(ModelError, match=r"needs about 20,000\.\d GB in bfloat16"):
        load_judge(str(giant), loading=LoadOptions(dtype="bfloat16"))


def test_memory_from_headers_equals_memory_from_the_configuration() -> None:
    values = sum(tensor.numel() for tensor in load_file(BUNDLED_MODEL / "model.safetensors").values())
    assert count_stored(BUNDLED_MODEL) == count_configured(AutoConfig.from_pretrained(BUNDLED_MODEL)) == values
    assert needed_bytes(values, torch.bfloat16) == pytest.approx(2 * values * OVERHEAD, abs=1)


def test_four_bits_count_for_the_language_models_linear_layers_only() -> None:
    config = AutoConfig.from_pretrained(BUNDLED_MODEL)
    weights = load_file(BUNDLED_MODEL / "model.safetensors")
    linear = [tensor for name, tensor in weights.items() if "language_model.layers" in name and tensor.ndim == 2]
    assert count_quantised(config) == sum(tensor.numel() for tensor in linear)
    whole = sum(tensor.numel() for tensor in weights.values()) - count_quantised(config)
    needed = needed_bytes(count_stored(BUNDLED_MODEL), torch.bfloat16, quantised=count_quantised(config))
    assert 2 * whole < needed < needed_bytes(count_stored(BUNDLED_MODEL), torch.bfloat16)


def test_a_model_whose_weights_lack_tensors_is_refused(tmp_path: Path) -> None:
    """transformers would fill them with noise and say so in a warning."""
    model = Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "partial"))
    weights = load_file(model / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layers.2." not in name}
    save_file(kept, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"could not be loaded .*: its weights lack \d+ of the model's tensors, the first is"):
        load_judge(str(model))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("not json", "could not be loaded"),
        ('{"model_type": "no-such-thing"}', "could not be loaded"),
        ('{"model_type": "qwen3_vl", "text_config": 7}', "could not be loaded"),
        ('{"model_type": "bert"}', "could not be loaded"),
        ("{}", "could not be loaded"),
    ],
)
def test_broken_configurations_are_one_sentence(tmp_path: Path, config: str, sentence: str) -> None:
    model = Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "broken"))
    (model / "config.json").write_text(config)
    with pytest.raises(ModelError, match=sentence) as caught:
        load_judge(str(model))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    model = Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "own-code"))
    proof = tmp_path / "it-ran"
    (model / "own.py").write_text(f"open({str(proof)!r}, 'w').close()\nclass Own: pass\n")
    config = json.loads((model / "config.json").read_text())
    own = {"AutoConfig": "own.Own", "AutoModelForImageTextToText": "own.Own", "AutoProcessor": "own.Own"}
    (model / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": own}))
    with pytest.raises(ModelError, match="could not be loaded"):
        load_judge(str(model))
    assert not proof.exists()


def test_cut_off_weights_are_one_sentence(tmp_path: Path) -> None:
    model = Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "cut"))
    os.truncate(model / "model.safetensors", 200_000)
    with pytest.raises(ModelError, match="could not be loaded") as caught:
        load_judge(str(model))
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    model = Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "pickled"))
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights in safetensors files"):
        load_judge(str(model))


def test_an_unknown_hub_id_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="The model 'no-one/nothing' could not be loaded from no-one/nothing: ") as caught:
        load_judge("no-one/nothing")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"device": "gpu"}, "There is no device 'gpu'; expected auto, cpu, cuda, cuda:N or mps"),
        ({"device": "cuda:63"}, "has no device 'cuda:63'"),
        ({"device": "meta"}, "has no device 'meta'"),
        ({"dtype": "int8"}, "There is no dtype 'int8'; expected auto, float32, bfloat16, float16"),
        ({"device": "cpu", "loader": "unsloth"}, "Unsloth needs an NVIDIA GPU and this is cpu"),
        ({"loader": "magic"}, "There is no loader 'magic'; the loaders are transformers, unsloth"),
    ],
)
def test_bad_options_are_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        load_judge("base", loading=LoadOptions(**options))


def test_dtypes_reach_the_weights() -> None:
    loaded = load_model(BUNDLED_MODEL, name="base", options=LoadOptions(device="cpu", dtype="bfloat16"))
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}
    assert pick_dtype("auto", torch.device("cpu")) == torch.float32
    assert pick_device("cpu") == torch.device("cpu")
    half, whole = (
        load_judge("base", loading=LoadOptions(device="cpu", dtype=dtype)).judge(pairs(3)) for dtype in ("bfloat16", "float32")
    )
    assert [v.p_same for v in half] == pytest.approx([v.p_same for v in whole], abs=0.05)


def test_names(tmp_path: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_model("base").base == BUNDLED_MODEL
    assert resolve_model("Qwen/Qwen3-VL-8B-Instruct").name == "Qwen/Qwen3-VL-8B-Instruct"
    monkeypatch.setattr("engine.judging.sources.TUNED_ADAPTER", adapter)
    tuned = resolve_model("tuned")
    assert (tuned.name, tuned.base, tuned.adapter) == ("tuned", str(BUNDLED_MODEL), adapter)
    monkeypatch.setattr("engine.judging.sources.TUNED_ADAPTER", tmp_path / "none")
    with pytest.raises(ModelError, match="No tuned model has been made yet"):
        resolve_model("tuned")


def test_four_bit_settings() -> None:
    config = four_bit_config(torch.bfloat16)
    assert (config.load_in_4bit, config.bnb_4bit_quant_type, config.bnb_4bit_compute_dtype) == (True, "nf4", torch.bfloat16)
    assert config.llm_int8_skip_modules
    assert is_kept_whole("model.visual.blocks.0.attn.qkv")
    assert is_kept_whole("lm_head")
    assert not is_kept_whole("model.language_model.layers.0.self_attn.q_proj")


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
def test_four_bits_answer_nearly_the_same() -> None:
    """On a CPU too; the vision tower stays whole, and the language model's layers are really quantised."""
    loaded = load_model(BUNDLED_MODEL, name="base", options=LoadOptions(device="cpu", four_bit=True))
    kinds = {name: type(layer).__name__ for name, layer in loaded.model.named_modules()}
    assert kinds["model.visual.blocks.0.attn.qkv"] == "Linear"
    assert kinds["model.language_model.layers.0.self_attn.q_proj"] == "Linear4bit"
    asked = pairs(6)
    four, whole = (
        load_judge("base", loading=LoadOptions(device="cpu", four_bit=four_bit)).judge(asked) for four_bit in (True, False)
    )
    assert [v.p_same for v in four] == pytest.approx([v.p_same for v in whole], abs=0.15)


def test_four_bits_say_what_is_missing() -> None:
    if find_spec("bitsandbytes") is not None:
        pytest.skip("bitsandbytes is installed")
    with pytest.raises(ModelError, match="4 bits need the package bitsandbytes, which is not installed"):
        load_judge("base", loading=LoadOptions(device="cpu", four_bit=True))


def test_unsloth_arguments(tmp_path: Path) -> None:
    cuda = torch.device("cuda:0")
    four = unsloth_arguments("Qwen/Qwen3-VL-8B-Instruct", device=cuda, dtype=torch.bfloat16, four_bit=True)
    assert (four["model_name"], four["load_in_4bit"], four["load_in_16bit"]) == ("Qwen/Qwen3-VL-8B-Instruct", True, False)
    assert (four["dtype"], four["device_map"]) == (torch.bfloat16, {"": "cuda:0"})
    whole = unsloth_arguments(tmp_path, device=cuda, dtype=torch.bfloat16, four_bit=False)
    assert four["use_exact_model_name"] is whole["use_exact_model_name"] is True
    assert (whole["model_name"], whole["load_in_4bit"], whole["load_in_16bit"]) == (str(tmp_path), False, True)


FAKE_UNSLOTH = """
import os
from transformers import AutoModelForImageTextToText, AutoProcessor
SEEN = {name: os.environ.get(name) for name in ("UNSLOTH_DISABLE_STATISTICS", "UNSLOTH_COMPILE_LOCATION")}
class FastVisionModel:
    given = {}
    @classmethod
    def from_pretrained(cls, **given):
        cls.given = given
        source = given["model_name"]
        return AutoModelForImageTextToText.from_pretrained(source), AutoProcessor.from_pretrained(source)
    @staticmethod
    def for_inference(model):
        model.eval()
"""


def test_unsloth_gets_its_switches_before_and_the_adapter_after(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unsloth is stood in for by a module with its two calls: it loads nothing without an NVIDIA driver."""
    (tmp_path / "unsloth.py").write_text(FAKE_UNSLOTH)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("engine.judging.local.unsloth_loader.why_no_unsloth", lambda: None)
    whole = PeftModel.from_pretrained
    monkeypatch.setattr(PeftModel, "from_pretrained", lambda *args, **given: whole(*args, **{**given, "torch_device": "cpu"}))
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UNSLOTH_COMPILE_LOCATION", "/chosen/by/the/user")
    model, processor = load_with_unsloth(
        BUNDLED_MODEL, adapter=adapter, device=torch.device("cuda"), dtype=torch.float32, four_bit=False
    )
    fake = sys.modules.pop("unsloth")
    assert fake.SEEN == {"UNSLOTH_DISABLE_STATISTICS": "1", "UNSLOTH_COMPILE_LOCATION": "/chosen/by/the/user"}
    assert (fake.FastVisionModel.given["model_name"], fake.FastVisionModel.given["use_exact_model_name"]) == (
        str(BUNDLED_MODEL),
        True,
    )
    judge = QwenVlJudge(model, processor, name="tuned", prompt=load_prompt())
    expected = load_judge("base", adapter=adapter, both_orders=False, loading=LoadOptions(device="cpu"))
    expected.calibration = None  # type: ignore[attr-defined]
    assert [v.p_same for v in judge.judge(pairs(3))] == pytest.approx([v.p_same for v in expected.judge(pairs(3))], abs=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU; run with -m gpu")
@pytest.mark.parametrize("loader", ["transformers", "unsloth"])
def test_an_adapter_on_a_gpu(adapter: Path, loader: str) -> None:
    if loader == "unsloth" and find_spec("unsloth") is None:
        pytest.skip("unsloth is not installed")
    asked = pairs(4)
    here = load_judge("base", adapter=adapter, loading=LoadOptions(device="cuda", loader=loader)).judge(asked)
    plain = load_judge("base", adapter=adapter, loading=LoadOptions(device="cpu")).judge(asked)
    assert [v.p_same for v in here] == pytest.approx([v.p_same for v in plain], abs=0.2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU; run with -m gpu")
@pytest.mark.parametrize("options", [{"four_bit": True}, {"loader": "unsloth"}, {}])
def test_on_a_gpu(options: dict[str, Any]) -> None:
    for package in {"four_bit": ["bitsandbytes"], "loader": ["unsloth"]}.get(next(iter(options), ""), []):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    asked = pairs(4)
    here = load_judge("base", loading=LoadOptions(device="cuda", **options)).judge(asked)
    plain = load_judge("base", loading=LoadOptions(device="cpu")).judge(asked)
    assert [v.p_same for v in here] == pytest.approx([v.p_same for v in plain], abs=0.2)
