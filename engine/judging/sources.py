"""What the name of a model means: the one place that reads "base", "tuned", a run, a folder, a hub id, an address.

Loads nothing and imports nothing heavy. Which runs there are is told by whoever keeps them, through `RunLookup`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from engine.assets import BUNDLED_MODEL, MODELS_DIR, TUNED_ADAPTER
from engine.errors import ModelError
from engine.judging.adapters import ADAPTER_CONFIG, MODEL_CONFIG, base_of, has_adapter, is_adapter
from engine.judging.base import default_prompt

BASE, TUNED = "base", "tuned"
ModelKind = Literal["bundled", "tuned", "run", "adapter", "folder", "hub", "server", "other"]
"""The model that comes with the program, the adapter that does, a training's adapter, an adapter's folder, a folder of whole
weights, a hub id, a model on a server; "other" is SCHEME:REST, which a backend of yours may read."""
_OTHER = re.compile(r"[A-Za-z][\w+.-]+:.+")
"""Two letters at least before the colon: one is a drive of Windows."""

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Loader = Literal["transformers", "unsloth"]


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model.

    Attributes:
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps".
        dtype: "auto" (bfloat16 on a GPU that has it, float16 on others, else float32), "float32", "bfloat16", "float16".
        four_bit: Load the language model's weights in 4 bits; needs bitsandbytes, and is slow without an NVIDIA GPU.
        loader: "transformers", or "unsloth" on NVIDIA.
    """

    device: str = "auto"
    dtype: str = "auto"
    four_bit: bool = False
    loader: str = "transformers"


@dataclass(frozen=True)
class ModelReference:
    """What the name of a model stands for.

    Attributes:
        kind: What sort of model it is.
        name: What the model goes by in verdicts and on pages: a run's own name, never "tuned" for a run, so that verdicts of two
            runs are never mixed; a folder's last part, as whose disk it lies on is nobody's business.
        base: Folder or hub id of the whole weights; of a server's model its address, of "other" the name as it was given.
        key: A name that means this model from any working folder and for as long as it exists. Thresholds and calibrations of
            models without a folder of their own are kept under it.
        adapter: Folder of a PEFT adapter on the base.
        prompt: Name of the prompt that the model was made for.
    """

    kind: ModelKind
    name: str
    base: str | Path
    key: str
    adapter: Path | None
    prompt: str

    @property
    def folder(self) -> Path | None:
        """Folder of the weights that make this model what it is (the adapter's, if there is one), None where it has none here."""
        if self.adapter is not None:
            return self.adapter
        return Path(self.base) if self.kind in ("bundled", "folder") else None

    @property
    def is_shipped(self) -> bool:
        """Whether its weights came with the program, under whatever name they were given."""
        return self.folder is not None and self.folder.resolve().is_relative_to(MODELS_DIR.resolve())


@dataclass(frozen=True)
class RunWeights:
    """What a training made.

    Attributes:
        base: Name of the model that it built on: "base", a folder or a hub id.
        adapter: Folder of its adapter.
    """

    base: str
    adapter: Path


class RunLookup(Protocol):
    """The trainings of this machine, as far as names go."""

    def promoted(self) -> str | None:
        """Return the run that "tuned" stands for now, None where it is the adapter that comes with the program."""
        ...

    def find(self, name: str) -> RunWeights | None:
        """Return a run's weights, None where there is no run of that name.

        Raises:
            ModelError: If there is one, but its training was not finished.
        """
        ...


def is_address(model: str) -> bool:
    """Whether the name of a model is the address of a server."""
    return model.startswith(("http://", "https://"))


def has_tuned_adapter() -> bool:
    """Whether a tuned adapter came with the program."""
    return has_adapter(TUNED_ADAPTER)


def resolve_model(model: str, *, runs: RunLookup | None = None, adapter: Path | None = None) -> ModelReference:
    """Find out what the name of a model stands for.

    Hub ids are not looked up, servers are not asked, and no weights are read.

    Args:
        model: "base", "tuned", a run, a model's or an adapter's folder, a hub id, or a server's address with "#MODEL".
        runs: The runs that may be meant; None = none.
        adapter: Folder of an adapter to put on it.

    Raises:
        ModelError: If there is no such model, it is not finished, or an adapter is to be put on an adapter.
    """
    if adapter is not None:
        return _with_adapter(resolve_model(model, runs=runs), adapter)
    if is_address(model):
        return ModelReference("server", model.partition("#")[2] or model, model, model, None, default_prompt(model))
    if model == BASE:
        return ModelReference("bundled", BASE, BUNDLED_MODEL, BASE, None, default_prompt(BASE))
    run = runs.promoted() if runs is not None and model == TUNED else None
    if model == TUNED and run is None:
        if not has_tuned_adapter():
            raise ModelError("No tuned model has been made yet; retrain first, or use 'base', a model folder or a hub id.")
        return ModelReference("tuned", TUNED, base_of(TUNED_ADAPTER), TUNED, TUNED_ADAPTER, default_prompt(TUNED))
    name = run or model
    trained = runs.find(name) if runs is not None else None
    if trained is not None:
        base = resolve_model(trained.base)
        return ModelReference("run", name, base.base, name, trained.adapter, base.prompt)
    return _outside_model(name)


def _outside_model(model: str) -> ModelReference:
    """Return a model that is neither ours nor on a server: a folder, a hub id, or a name for another backend."""
    prompt = default_prompt(model)
    try:
        folder = Path(model).expanduser()
        is_there = folder.exists()
    except (OSError, RuntimeError) as error:  # a folder that may not be entered, a name too long, no such user
        raise ModelError(
            f"The model {model!r} cannot be looked at ({error}); give a folder that may be read, or a hub id."
        ) from error
    if is_there:
        name, key = folder.resolve().name, str(folder.resolve())
        if is_adapter(folder):
            return ModelReference("adapter", name, base_of(folder), key, folder, prompt)
        if not (folder / MODEL_CONFIG).is_file():
            raise ModelError(
                f"{folder} is no model: it has no {MODEL_CONFIG}; give a folder written by save_pretrained, or a hub id."
            )
        return ModelReference("folder", name, folder, key, None, prompt)
    if _OTHER.fullmatch(model):
        return ModelReference("other", model, model, model, None, prompt)
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise no_such_model(model)
    return ModelReference("hub", model, model, model, None, prompt)


def _with_adapter(base: ModelReference, adapter: Path) -> ModelReference:
    if base.kind == "server":
        raise server_decides(base.key)
    if not has_adapter(adapter):
        raise ModelError(f"{adapter} is no adapter: it has no {ADAPTER_CONFIG}; give a folder written by PEFT's save_pretrained.")
    if base.adapter is not None:
        raise ModelError(
            f"{base.adapter} is an adapter itself, and {adapter} cannot be put on it; give the base that both were trained on."
        )
    if base.kind == "other":
        raise ModelError(f"No adapter can be put on {base.name}; leave the adapter out.")
    return ModelReference("adapter", adapter.name, base.base, str(adapter.resolve()), adapter, base.prompt)


def server_decides(address: str) -> ModelError:
    """Return the error for a served model that is to be loaded in some way."""
    return ModelError(
        f"The server of {address} decides on adapter, device, dtype and loader; start it with them, and name its adapter after '#'."
    )


def no_such_model(model: str) -> ModelError:
    """Return the error for a name that means nothing."""
    return ModelError(
        f"There is no model {model!r}; expected 'base', 'tuned', a model folder, an adapter folder, http://HOST:PORT/v1#MODEL, "
        "or a hub id such as Qwen/Qwen3-VL-2B-Instruct."
    )
