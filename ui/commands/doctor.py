"""`maskgroup doctor`: what this machine has, which backends work, and how to get the rest."""

from __future__ import annotations

import importlib.util
import os
import platform
from dataclasses import asdict, dataclass
from importlib import metadata

import psutil
import typer

from engine.assets import BUNDLED_MODEL
from engine.errors import MaskgroupError
from engine.judging.local.published import PUBLISHED_SIZES
from engine.judging.memory import free_bytes, in_gb, needed_bytes
from engine.judging.registry import load_judge
from engine.scenes import list_scenes
from engine.strict_json import to_json_text
from ui.commands.scene_options import JsonOption
from ui.settings import Settings


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
    return [_machine(), *_packages(), _gpu(), _embree(), _pytorch3d(), _unsloth(), _scenes(), _bundled_model(), *_real_sizes()]


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
        needed = {str(kind).removeprefix("torch."): needed_bytes(size.values, kind) for kind in (torch.float32, torch.bfloat16)}
        needed["4 bits (NVIDIA)"] = needed_bytes(size.values, torch.bfloat16, quantised=size.quantised)
        sizes = ", ".join(f"{in_gb(count)} in {kind}" for kind, count in needed.items())
        fits = needed[str(dtype).removeprefix("torch.")] <= free
        default = f"the default on {device.type}, {str(dtype).removeprefix('torch.')}, {'fits' if fits else 'does not fit'}"
        findings.append(
            Finding(size.model.removeprefix("Qwen/"), fits, False, f"needs about {sizes}; {in_gb(free)} are free: {default}")
        )
    return findings
