"""The Retrain page's form: every setting stands once, and what is typed reaches the training under its own name."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from db.runs import RunStore
from db.schema.session import open_database
from engine.errors import RunError
from engine.judging.sources import LoadOptions
from finetune.config import TrainConfig
from finetune.runs.registry import Registry
from ui.pages.train.form import HELD_BACK, TrainForm, lay_out_form, read_form

NOT_TYPED = {"scenes", "evaluation_scenes", "warmup", "weight_decay", "validation_pairs", "backend", "device", "checkpoint_every"}
NOT_TYPED |= {"significance", "max_recall_loss", "dtype", "gradient_checkpointing"}
TYPED: dict[str, Any] = {
    "model": "base",
    "on": ["attic", "cellar"],
    "judged": HELD_BACK,
    "pairs": 11,
    "epochs": 3,
    "negatives": "random",
    "use_labels": False,
    "promotion": "never",
    "parent": "",
    "language_only": True,
    "augment": 4,
    "evaluation_pairs": 22,
    "learning_rate": 0.125,
    "rank": 5,
    "alpha": 6,
    "dropout": 0.25,
    "batch_pairs": 7,
    "pass_tokens": 512,
    "four_bit": True,
    "seed": 8,
}


@pytest.fixture
def bench() -> Any:
    judges = SimpleNamespace(names=lambda: ["base"], default="base", source=lambda name: name, loading=LoadOptions())

    def open_scene(name: str) -> Any:
        return SimpleNamespace(scene=SimpleNamespace(folder=Path("/scenes") / name))

    names = ["attic", "cellar"]
    choices = [(name.title(), name) for name in names]
    return SimpleNamespace(scene_choices=lambda: choices, usual_scenes=lambda: names, judges=judges, open_scene=open_scene)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(RunStore(open_database(str(tmp_path / "labels.db"))), tmp_path / "runs")


def test_every_setting_reaches_the_training_under_its_name(bench: Any, registry: Registry) -> None:
    with gr.Blocks():
        form = lay_out_form(bench, registry).settings
    order = [field.name for field in fields(TrainForm)]
    assert form.inputs() == [getattr(form, name) for name in order]
    assert set(order) == set(TYPED)
    assert {field.name for field in fields(TrainConfig)} - NOT_TYPED == set(order) - {"on", "judged"}
    config = read_form([TYPED[name] for name in order], bench, registry)
    assert config.scenes == ("/scenes/attic", "/scenes/cellar")
    assert (config.model, config.parent) == ("base", "base")
    for name in set(order) - {"on", "judged", "parent"}:
        assert getattr(config, name) == TYPED[name], name


def test_the_form_as_it_opens_asks_for_the_usual_training(bench: Any, registry: Registry) -> None:
    with gr.Blocks():
        form = lay_out_form(bench, registry).settings
    config = read_form([component.value for component in form.inputs()], bench, registry)
    usual = TrainConfig(config.scenes, learning_rate=config.learning_rate)
    assert config == usual


def test_a_scene_that_judges_is_not_trained_on(bench: Any, registry: Registry) -> None:
    values = {**TYPED, "judged": "cellar"}
    config = read_form([values[field.name] for field in fields(TrainForm)], bench, registry)
    assert (config.scenes, config.evaluation_scenes) == (("/scenes/attic",), ("/scenes/cellar",))
    with pytest.raises(RunError, match="No scene to train on"):
        read_form([{**values, "on": ["cellar"]}[field.name] for field in fields(TrainForm)], bench, registry)


@pytest.mark.parametrize(
    ("given", "dtype"), [("auto", "auto"), ("bfloat16", "bfloat16"), ("float32", "float32"), ("float16", "auto")]
)
def test_a_training_and_its_judges_are_loaded_as_the_app_loads_models(
    bench: Any, registry: Registry, given: str, dtype: str
) -> None:
    bench.judges.loading = LoadOptions("cuda:1", given, True)
    with gr.Blocks():
        form = lay_out_form(bench, registry).settings
    config = read_form([component.value for component in form.inputs()], bench, registry)
    assert (config.device, config.dtype, config.four_bit) == ("cuda:1", dtype, True)
