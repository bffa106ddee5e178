"""Steps that end in every way that a step can end, and need no torch."""

from __future__ import annotations

import signal

from tests.gpu.step import Figures, Missing, Setting, Step


def succeed(setting: Setting) -> Figures:
    return {"device": setting.device, "files": len(list(setting.folder.iterdir())), "speed": 1234.5, "none": None, "a|b": "c"}


def fail(setting: Setting) -> Figures:
    raise ValueError(f"it broke on {setting.device}")


def miss(setting: Setting) -> Figures:
    raise Missing("its package is not installed")


def hang(setting: Setting) -> Figures:
    """Never end, however fast the machine is, and do not listen to an interrupt."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        signal.pause()


HERE = "tests.unit.gpu_prove.rehearsed"
FAILS = Step("fails", f"{HERE}:fail", 100, "")
HANGS = Step("hangs", f"{HERE}:hang", 0.5, "")
MISSES = Step("misses", f"{HERE}:miss", 100, "")
SUCCEEDS = Step("succeeds", f"{HERE}:succeed", 100, "")
