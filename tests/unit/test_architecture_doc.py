"""docs/architecture.md lists every file of the four packages, and no file that is gone."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "architecture.md"
PACKAGES = ("engine", "finetune", "db", "ui")
KINDS = {".py", ".js", ".css", ".html", ".j2", ".txt"}
NOT_LISTED = {"__init__.py"}
"""A package's own line, under its heading, says what its `__init__` says."""


def listed() -> list[str]:
    """The files of the list, from the root, in its order."""
    found: list[str] = []
    folder = None
    for line in DOC.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"### `([a-z_0-9/]+/)`", line):
            folder = heading[1]
        elif line.startswith("#"):
            folder = None
        elif folder is not None and (item := re.match(r"- `([^`]+)`: \S", line)):
            found.append(folder + item[1])
    return found


def present() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in KINDS and path.name not in NOT_LISTED and "__pycache__" not in path.parts
    }


def test_every_file_has_one_line_and_every_line_a_file() -> None:
    files, lines = present(), listed()
    assert len(files) > 150
    assert sorted(files - set(lines)) == [], "not in docs/architecture.md: add a line for each"
    assert sorted(set(lines) - files) == [], "in docs/architecture.md, but not in the repository: take the line out"
    assert len(lines) == len(set(lines))


def test_the_ways_through_the_code_name_files_that_exist() -> None:
    text = DOC.read_text(encoding="utf-8").partition("## The files")[0]
    named = set(re.findall(r"`((?:engine|finetune|db|ui)/[\w/]+\.(?:py|js|css|html))`", text))
    assert len(named) > 30
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []
    names = {path.rpartition("/")[2] for path in present()}
    assert [name for name in re.findall(r"`(\w+\.py)`", text) if name not in names] == []


def test_the_ways_through_the_code_name_functions_that_exist() -> None:
    ways = DOC.read_text(encoding="utf-8").partition("## One mask pair")[2].partition("## The files")[0]
    code = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in sorted(present()) if path.endswith(".py"))
    defined = set(re.findall(r"^\s*(?:def|class) (\w+)", code, re.MULTILINE))
    named = {part for name in re.findall(r"`(\w+_\w+|[A-Z]\w+(?:\.\w+)?)`", ways) for part in name.split(".")}
    assert len(named) > 20
    assert sorted(named - defined) == []
