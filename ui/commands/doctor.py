"""`maskgroup doctor`: what this machine has, which backends work, and how to get the rest."""

from __future__ import annotations

import importlib.util
import os
import platform
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING

import psutil
import typer

from engine.assets import BUNDLED_MODEL
from engine.errors import MaskgroupError
from engine.judging.local.published import PUBLISHED_SIZES, PublishedSize
from engine.judging.memory import LONG_PASS, free_bytes, in_gb, needed_bytes
from engine.judging.registry import load_judge
from engine.scenes import list_scenes
from engine.strict_json import to_json_text
from finetune.config import TrainConfig
from ui.commands.scene_options import JsonOption
from ui.settings import Settings

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, whether it works, and details or what to do."""

    name: str
    works: bool
    needed: bool
    detail: str


def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, which backends work, and how to get the rest. Exit code 1 if something needed does not work."""
    findings = examine()
    if as_json:
        typer.echo(to_json_text([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            mark = "ok  " if finding.works else "FAIL" if finding.needed else "no  "
            typer.echo(f"{mark} {finding.name}: {finding.detail}")
    if any(finding.needed and not finding.works for finding in findings):
        raise typer.Exit(1)


def examine() -> list[Finding]:
    """Try everything that the program can use."""
    return [
        _machine(),
        *_packages(),
        _gpu(),
        _embree(),
        _pytorch3d(),
        _unsloth(),
        _photos(),
        _scenes(),
        _bundled_model(),
        *_real_sizes(),
    ]


def _machine() -> Finding:
    memory = psutil.virtual_memory().total / 2**30
    return Finding(
        "machine", True, True, f"Python {platform.python_version()}, {os.cpu_count()} CPU cores, {memory:.0f} GiB memory"
    )


def _packages() -> list[Finding]:
    findings: list[Finding] = []
    for package in ("torch", "torchvision", "transformers", "gradio", "plotly"):
        try:
            findings.append(Finding(package, True, True, metadata.version(package)))
        except metadata.PackageNotFoundError:
            findings.append(Finding(package, False, True, "not installed; run pip install maskgroup, or make demo in a checkout"))
    return findings


def _gpu() -> Finding:
    # Every command's module is imported when the program starts, and torch takes seconds: who needs it imports it.
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU", False, False, "none that PyTorch can use; everything runs on the CPU")
    free, total = torch.cuda.mem_get_info()
    return Finding("GPU", True, False, f"{torch.cuda.get_device_name()}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free")


def _embree() -> Finding:
    if importlib.util.find_spec("embreex") is None:
        return Finding("renderer embree", False, True, "not installed; pip install embreex")
    return Finding("renderer embree", True, True, metadata.version("embreex"))


def _pytorch3d() -> Finding:
    if importlib.util.find_spec("pytorch3d") is None:
        return Finding("renderer pytorch3d", False, False, "not installed; pip install 'maskgroup[pytorch3d]'")
    try:
        importlib.import_module("pytorch3d._C")
    except ImportError as error:
        return Finding("renderer pytorch3d", False, False, f"installed, but its operators do not load ({error})")
    return Finding("renderer pytorch3d", True, False, "loads; the default where there is a GPU")


def _unsloth() -> Finding:
    if importlib.util.find_spec("unsloth") is None:
        return Finding("unsloth", False, False, "not installed; on a machine with an NVIDIA GPU: pip install 'maskgroup[gpu]'")
    return Finding("unsloth", True, False, metadata.version("unsloth"))


def _photos() -> Finding:
    needed = {"pycolmap": "pycolmap", "av": "av", "pillow_heif": "pillow-heif"}
    missing = [name for module, name in needed.items() if importlib.util.find_spec(module) is None]
    if missing:
        return Finding("photos and videos", False, False, f"{', '.join(missing)} not installed; pip install 'maskgroup[photos]'")
    return Finding("photos and videos", True, False, ", ".join(f"{name} {metadata.version(name)}" for name in needed.values()))


def _scenes() -> Finding:
    folder = Settings().scenes
    try:
        names = [info.name for info in list_scenes(folder)]
    except MaskgroupError as error:
        return Finding("scenes", False, True, str(error))
    return Finding("scenes", bool(names), True, f"{', '.join(names) or 'none'} in {folder}")


def _bundled_model() -> Finding:
    try:
        judge = load_judge("base")
    except MaskgroupError as error:
        return Finding("bundled model", False, True, str(error))
    size = sum(path.stat().st_size for path in BUNDLED_MODEL.rglob("*") if path.is_file()) / 2**20
    return Finding("bundled model", True, True, f"{judge.name} loads ({size:.0f} MiB in {BUNDLED_MODEL})")


def _real_sizes() -> list[Finding]:
    """Estimate whether the published sizes of Qwen3-VL fit into the memory that is free now."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    free = free_bytes(device)
    findings: list[Finding] = []
    for size in PUBLISHED_SIZES:
        kinds = {"float32": (torch.float32, 0), "bfloat16": (torch.bfloat16, 0), "4 bits": (torch.bfloat16, size.quantised)}
        needed = {
            name: needed_bytes(size.values, kind, quantised=quantised, shape=size.shape)
            for name, (kind, quantised) in kinds.items()
        }
        sizes = ", ".join(f"{in_gb(count)} in {kind}" for kind, count in needed.items())
        default = str(dtype).removeprefix("torch.")
        fits = needed[default] <= free
        verdict = f"the default on {device.type}, {default}, {'fits' if fits else 'does not fit'}"
        if device.type == "cuda":
            fastest = needed_bytes(size.values, dtype, shape=size.shape, pass_tokens=LONG_PASS)
            verdict += f" ({in_gb(fastest)} at full speed)"
        findings.append(
            Finding(
                size.model.removeprefix("Qwen/"),
                fits,
                False,
                f"judging needs about {sizes}; {in_gb(free)} are free: {verdict}. {_training(size, dtype, free)}",
            )
        )
    return findings


def _training(size: PublishedSize, dtype: torch.dtype, free: int) -> str:
    """Say whether a size can be trained here with the usual settings, and if not, what would."""
    from finetune.training.memory_needs import FEW_TOKENS, Footprint, needed_for_training

    usual = TrainConfig(scenes=("any",), model=size.model)
    model = Footprint(size.shape, size.values, size.quantised)
    tried = {
        "as usual": usual,
        "with --four-bit": replace(usual, four_bit=True),
        f"with --four-bit --language-only --pass-tokens {FEW_TOKENS}": replace(
            usual, four_bit=True, language_only=True, pass_tokens=FEW_TOKENS
        ),
    }
    needed = {words: needed_for_training(model, config, dtype.itemsize) for words, config in tried.items()}
    listed = ", ".join(f"{in_gb(count)} {words}" for words, count in needed.items())
    fitting = next((words for words, count in needed.items() if count <= free), None)
    return f"Training needs about {listed}: {'fits ' + fitting if fitting else 'does not fit'}"
