"""PEFT adapters: which base they belong to, and whether they fit the one at hand. Reads headers and JSON only, no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from engine.assets import BUNDLED_MODEL
from engine.errors import ModelError
from engine.files import write_atomically
from engine.judging.calibration.fit import weights_fingerprint
from engine.judging.memory import tensor_shapes

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
"""Names that PEFT gave them."""
MODEL_CONFIG = "config.json"
"""Name that transformers gave it."""
BASE_FILE = "base.json"
"""Says on which weights the adapter was trained; ours, beside PEFT's files."""
_PREFIX = "base_model.model."


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a PEFT adapter and no model of its own."""
    return has_adapter(folder) and not (folder / MODEL_CONFIG).is_file()


def has_adapter(folder: Path) -> bool:
    """Whether a folder holds a PEFT adapter that was written to its end."""
    return (folder / ADAPTER_CONFIG).is_file()


def record_base(adapter: Path, base: Path) -> None:
    """Record the weights that an adapter was trained on, so that it is never put on other weights of the same shape."""
    content = {"name": base.name, "weights": weights_fingerprint(base)}
    write_atomically(adapter / BASE_FILE, content)


def base_of(adapter: Path) -> str:
    """Return the base that an adapter's configuration names: a folder or a hub id.

    A path from another machine counts as the bundled model where it ends in the bundled model's name.

    Raises:
        ModelError: If the configuration is broken, or its base is not here.
    """
    named = str(_read_config(adapter).get("base_model_name_or_path") or "")
    for folder in (adapter / named, Path(named).expanduser()):
        if named and (folder / MODEL_CONFIG).is_file():
            return str(folder)
    if named in ("", "base") or named.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] == BUNDLED_MODEL.name:
        return str(BUNDLED_MODEL)
    if named.count("/") == 1 and not named.startswith((".", "/", "~")):
        return named
    raise ModelError(
        f"The adapter {adapter} was trained on {named!r}, which is not here; correct base_model_name_or_path in its "
        f"{ADAPTER_CONFIG}."
    )


def check_adapter(adapter: Path, base: str | Path, empty: Any) -> None:
    """Make sure that an adapter belongs to a base.

    Args:
        adapter: Folder of the adapter.
        base: Folder or hub id of the base.
        empty: The base's model, with or without weights; only the names and shapes of its layers count.

    Raises:
        ModelError: If the adapter is broken, of another kind than LoRA, or was trained on another base.
    """
    kind = str(_read_config(adapter).get("peft_type"))
    if kind != "LORA":
        raise ModelError(f"The adapter {adapter} is of the kind {kind}; expected LORA.")
    if not (adapter / ADAPTER_WEIGHTS).is_file():
        raise ModelError(
            f"The adapter {adapter} has no {ADAPTER_WEIGHTS}, the only weights that are read; save it again with PEFT."
        )
    recorded, there = _recorded_weights(adapter), weights_fingerprint(Path(base))
    if recorded and there and recorded != there:
        raise _another_base(adapter, base, "the base's weights are others than those it was trained on")
    layers = dict(empty.named_modules())
    shapes = {name.removeprefix(_PREFIX): shape for name, shape in tensor_shapes(adapter / ADAPTER_WEIGHTS).items()}
    lora = {name: shape for name, shape in shapes.items() if name.endswith((".lora_A.weight", ".lora_B.weight"))}
    if not lora:
        raise ModelError(f"The adapter {adapter} holds no LoRA weights; train it again.")
    for name, shape in lora.items():
        layer, side = name.removesuffix(".weight").rsplit(".", 1)
        weight = getattr(layers.get(layer), "weight", None)
        if weight is None:
            raise _another_base(adapter, base, f"the base has no layer {layer}")
        # A is (rank, inputs), B is (outputs, rank), the layer's own weight (outputs, inputs).
        own, expected = (shape[1], weight.shape[1]) if side == "lora_A" else (shape[0], weight.shape[0])
        if own != expected:
            raise _another_base(adapter, base, f"its {layer} is {own} wide, the base's {expected}")


def _another_base(adapter: Path, base: str | Path, why: str) -> ModelError:
    return ModelError(
        f"The adapter {adapter} is for another base than {base}: {why}; give the base that it was trained on, or retrain."
    )


def _read_config(adapter: Path) -> dict[str, Any]:
    return _read_json(adapter / ADAPTER_CONFIG)


def _recorded_weights(adapter: Path) -> str | None:
    path = adapter / BASE_FILE
    return cast("str | None", _read_json(path).get("weights")) if path.is_file() else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("expected an object")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); give the folder of a PEFT adapter.") from error
    return cast("dict[str, Any]", content)
