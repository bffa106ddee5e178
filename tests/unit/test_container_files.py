"""Dockerfile and compose.yaml name settings, commands and folders that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.docs_blocks import blocks
from ui.cli import cli
from ui.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def test_what_the_image_is_made_of_is_there_and_let_through() -> None:
    copied = {name for line in re.findall(r"^COPY (?!--from)(.+) \./?\S*$", DOCKERFILE, re.MULTILINE) for name in line.split()}
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == let_through
    assert {"ui", "engine", "finetune", "db", "assets", "pyproject.toml"} <= copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_starts_a_command_that_there_is() -> None:
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)
    (rest,) = re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(entry) == ["maskgroup"]
    name, *arguments = json.loads(rest)
    command: Any = typer.main.get_command(cli)
    command.commands[name].make_context(name, arguments)
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    assert "/readyz" in DOCKERFILE


def test_settings_of_the_containers_are_settings() -> None:
    named = {name for name in COMPOSE["services"]["app"]["environment"] if name.startswith("MASKGROUP_")}
    documented = {
        line.partition("=")[0]
        for block in blocks()
        if block.page == "docs/deploy.md" and block.language == "ini"
        for line in block.text.splitlines()
    }
    fields = {f"MASKGROUP_{field.upper()}" for field in Settings.model_fields}
    assert named <= fields
    assert documented - {"POSTGRES_PASSWORD"} <= named


def test_settings_that_are_left_empty_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose.yaml gives them where .env says nothing."""
    monkeypatch.setenv("MASKGROUP_ROOT_PATH", "")
    monkeypatch.setenv("MASKGROUP_TRUSTED_PROXY", "")
    settings = Settings()
    assert (settings.root_path, settings.trusted_proxy) == ("", ())


def test_the_app_may_write_to_its_volume_only() -> None:
    app = COMPOSE["services"]["app"]
    assert app["read_only"]
    assert app["cap_drop"] == ["ALL"]
    assert app["volumes"] == ["data:/data"]
    assert app["tmpfs"] == ["/tmp"]
    assert all(port.startswith("127.0.0.1:") for port in app["ports"])
    assert COMPOSE["services"]["vllm"]["profiles"] == ["vllm"]
