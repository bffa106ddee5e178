"""Hides GPUs from all tests but those that are for them: the others' tolerances are float32's, and a GPU computes in bfloat16."""

from __future__ import annotations

import os

import pytest
from _pytest.mark.expression import Expression

HIDING = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}
"""Read by CUDA and ROCm when they start, in this process and in those that tests start."""


def pytest_configure(config: pytest.Config) -> None:
    """Hide the GPUs before any test can ask for them, unless `-m` chooses the tests marked gpu."""
    if not chooses_gpu(str(config.getoption("-m") or "")):
        os.environ.update(HIDING)


def chooses_gpu(marks: str) -> bool:
    """Whether an expression of `-m` chooses tests because they are marked gpu ("not soak" takes them along with all others)."""
    if not marks:
        return False
    expression = Expression.compile(marks)
    return expression.evaluate(lambda name, **_: name == "gpu") and not expression.evaluate(lambda name, **_: False)
