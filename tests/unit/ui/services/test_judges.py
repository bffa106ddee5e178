"""The app's judges by name: loaded once, never by a name that is not in the list."""

from __future__ import annotations

import pytest

from engine.errors import ModelError
from tests.stub_judge import StubJudge, refuse
from ui.services.judges import MAX_LOADED, Judges


def named(name: str) -> StubJudge:
    """A judge that says nothing."""
    return StubJudge(name=name, before=refuse)


def test_each_is_loaded_once_and_at_first_use() -> None:
    opened: list[str] = []

    def load(name: str) -> StubJudge:
        opened.append(name)
        return named(name)

    judges = Judges(load, "base", others=lambda: ["base", "tuned", "mine"])
    assert judges.names() == ["base", "tuned", "mine"]
    assert judges.rival() == "tuned"
    assert judges.loaded() is None
    assert judges.get().name == "base"
    assert judges.get("base") is judges.get()
    assert judges.get("mine").name == "mine"
    assert opened == ["base", "mine"]


def test_rival_is_the_next_model_or_none() -> None:
    assert Judges(named, "base").rival() is None
    assert Judges(named, "base", others=lambda: ["mine", "other"]).rival() == "mine"


def test_unknown_names_are_never_opened() -> None:
    judges = Judges(named, "base", others=lambda: ["tuned"])
    for name in ("../../etc", "Qwen/Qwen3-VL-8B-Instruct", "BASE"):
        with pytest.raises(ModelError, match="the models are base, tuned"):
            judges.get(name)


def test_only_a_few_stay_in_memory() -> None:
    names = [f"run-{i}" for i in range(MAX_LOADED + 1)]
    judges = Judges(named, names[0], others=lambda: names)
    for name in names:
        judges.get(name)
    assert judges.loaded(names[0]) is None
    assert judges.loaded(names[-1]) is not None


def test_failure_is_not_remembered() -> None:
    tries: list[str] = []

    def load(name: str) -> StubJudge:
        tries.append(name)
        if len(tries) == 1:
            raise ModelError("The disk is full.")
        return named(name)

    judges = Judges(load, "base")
    with pytest.raises(ModelError, match="disk is full"):
        judges.get()
    assert judges.get().name == "base"
