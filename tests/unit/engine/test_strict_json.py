"""JSON text is valid whatever goes in, and nothing in the product writes JSON by another way."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.strict_json import as_items, finite, to_json_text

ROOT = Path(__file__).parents[3]
PACKAGES = ("engine", "db", "finetune", "ui")
ONLY = Path("engine/strict_json.py")


def refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf"), np.array(math.nan)])
def test_what_is_no_number_becomes_null_however_deep(wrong: float) -> None:
    text = to_json_text({"a": wrong, "b": [1.5, (wrong, {"c": wrong})], "d": True, "e": None, "f": "NaN"})
    assert json.loads(text, parse_constant=refuse) == {"a": None, "b": [1.5, [None, {"c": None}]], "d": True, "e": None, "f": "NaN"}


def test_numbers_of_numpy_are_numbers() -> None:
    assert json.loads(to_json_text([np.float32(0.5), np.int64(7), np.bool_(True)])) == [0.5, 7, True]
    assert type(finite(np.int32(3))) is int


def test_it_can_refuse_instead() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_json_text({"a": math.nan}, nan_as_null=False)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        to_json_text({"a": object()})
    with pytest.raises(TypeError):
        to_json_text({"a": np.zeros(3)})


def test_text_is_kept_as_it_is() -> None:
    assert to_json_text({"ü": 1}, escape=False) == '{"ü": 1}'
    assert to_json_text({"ü": 1}) == '{"\\u00fc": 1}'
    assert to_json_text([1], indent=2) == "[\n  1\n]"


def writers(path: Path) -> Iterator[int]:
    """Lines on which a module writes JSON by Python's own module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in ("dump", "dumps") and getattr(node.value, "id", "") == "json":
            yield node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "json" and {"dump", "dumps"} & {name.name for name in node.names}:
            yield node.lineno


def test_all_json_is_written_in_one_place() -> None:
    modules = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    found = {str(path.relative_to(ROOT)): list(writers(path)) for path in modules}
    assert found.pop(str(ONLY)), "the check sees what it looks for"
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_items_are_those_of_a_list_or_tuple_only() -> None:
    assert list(as_items([1, "a"])) == [1, "a"]
    assert list(as_items((2,))) == [2]
    for value in ("ab", {"a": 1}, None, 3, {1}):
        assert list(as_items(value)) == []
