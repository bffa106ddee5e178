"""What the packages import is declared in pyproject.toml, and constraints.txt pins versions that its ranges allow."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PACKAGES = ("engine", "finetune", "db", "ui")
OWN = {*PACKAGES, "assets"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def plain(name: str) -> str:
    """Return a distribution's name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> dict[str, Requirement]:
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return {plain(found.name): found for found in map(Requirement, lines)}


def imported() -> Iterator[tuple[str, str]]:
    """Yield (module, file) for every import of something that is neither Python's nor ours."""
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                else:
                    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                for name in names:
                    module = name.partition(".")[0]
                    if module not in OWN and module not in sys.stdlib_module_names:
                        yield module, file.relative_to(ROOT).as_posix()


def test_what_is_imported_is_declared() -> None:
    known = declared("gpu", "postgres")
    distributions = packages_distributions()
    found = list(imported())
    assert len({module for module, _ in found}) > 25
    missing = {
        (module, file) for module, file in found if not {plain(name) for name in distributions.get(module, [module])} & set(known)
    }
    assert missing == set(), "imported, but not in pyproject.toml"


def test_pinned_versions_are_within_the_ranges() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pinned = {plain(name): version for name, _, version in (line.partition("==") for line in lines)}
    ranges = declared("postgres", "pytorch3d", "dev")
    ranges.pop("maskgroup")
    assert [name for name in ranges if name not in pinned] == []
    assert {name: pinned[name] for name, asked in ranges.items() if not asked.specifier.contains(pinned[name])} == {}
