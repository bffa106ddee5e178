"""What the card reaches at best, with the versions of what it runs: the ceilings that the other steps' figures are read against."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

import torch

from tests.gpu.measuring import peak_flops, product_flops, seconds
from tests.gpu.step import Figures, Setting

PACKAGES = ("transformers", "peft", "bitsandbytes", "unsloth", "vllm", "easypytorch3d")


def measure_card(setting: Setting) -> Figures:
    """Return the speed of a matrix product in bfloat16 and float32, of a copy in memory, and versions."""
    on_gpu = setting.device == "cuda"
    side = 4096 if on_gpu else 128
    whole = product_flops(setting.device, torch.float32, side=side, repeats=5)
    size = 2**32 if on_gpu else 2**22
    source = torch.empty(size, dtype=torch.uint8, device=setting.device)
    target = torch.empty_like(source)
    target.copy_(source)
    copied = min(seconds(lambda: target.copy_(source)) for _ in range(5))
    return {
        "card": torch.cuda.get_device_name() if on_gpu else "CPU",
        "memory_gb": torch.cuda.mem_get_info()[1] / 1e9 if on_gpu else None,
        "bf16_tflops": peak_flops(setting.device) / 1e12,
        "float32_tflops": whole / 1e12,
        # Each byte is read and written.
        "copy_gb_a_second": 2 * size / copied / 1e9,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        **{name: _version_of(name) for name in PACKAGES},
    }


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
