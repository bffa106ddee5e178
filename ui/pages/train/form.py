"""The form of the Retrain page: what a training can be asked for, each setting once, and how the form becomes a `TrainConfig`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr
from gradio.components import Component

from finetune.config import TrainConfig, trainable_dtype
from finetune.runs.registry import Registry
from ui.pages.train.handlers import models_for, rate_for
from ui.services.workbench import Workbench

IMPROVED = ("the model to improve", "")
HELD_BACK = "objects kept back in these scenes"
NEGATIVES = [("look-alikes and hard ones", "hard"), ("any", "random")]
PROMOTIONS = [
    ("it is surely better (McNemar's test)", "mcnemar"),
    ("the interval of its gain lies above 0", "interval"),
    ("always", "always"),
    ("never", "never"),
]


PRESETS: dict[str, tuple[int, int]] = {
    "quick": (max(2, TrainConfig.pairs // 4), 1),
    "usual": (TrainConfig.pairs, TrainConfig.epochs),
    "thorough": (2 * TrainConfig.pairs, 2 * TrainConfig.epochs),
}
"""How many pairs, and how often each is seen; all other settings stay as they are."""
KEPT = (
    *("pairs", "epochs", "negatives", "use_labels", "promotion", "language_only", "augment", "evaluation_pairs"),
    *("rank", "alpha", "dropout", "batch_pairs", "pass_tokens", "four_bit", "seed"),
)
"""Settings that a browser remembers; scenes and models are chosen anew, as they may be gone, and the rate goes with the model."""


@dataclass(frozen=True)
class TrainForm:
    """The settings of a training as components. All but the first three are called as in `TrainConfig`.

    Attributes:
        model: The model to improve.
        on: Scenes to train on.
        judged: The scene to judge it by, or `HELD_BACK`.
        parent: The model to beat, "" = the one to improve.
    """

    model: gr.Dropdown
    on: gr.Dropdown
    judged: gr.Dropdown
    pairs: gr.Number
    epochs: gr.Number
    negatives: gr.Radio
    use_labels: gr.Checkbox
    promotion: gr.Dropdown
    parent: gr.Dropdown
    language_only: gr.Checkbox
    augment: gr.Number
    evaluation_pairs: gr.Number
    learning_rate: gr.Number
    rank: gr.Number
    alpha: gr.Number
    dropout: gr.Number
    batch_pairs: gr.Number
    pass_tokens: gr.Number
    four_bit: gr.Checkbox
    seed: gr.Number

    def kept(self) -> list[Component]:
        """Return the components of `KEPT`, in its order."""
        return [getattr(self, name) for name in KEPT]

    def inputs(self) -> list[Component]:
        """Return the components in the order in which `read` takes their values."""
        return [getattr(self, field.name) for field in fields(self)]


def default_values(bench: Workbench, registry: Registry, *, model: str, scenes: Sequence[str]) -> dict[str, Any]:
    """Return the values of `TrainForm.inputs`, by name and in that order, as the page proposes them for a model and scenes."""
    values = {
        "model": model,
        "on": list(scenes),
        "judged": HELD_BACK,
        "parent": IMPROVED[1],
        "learning_rate": rate_for(model, bench, registry),
        "four_bit": bench.judges.loading.four_bit,
    }
    return {
        field.name: values[field.name] if field.name in values else getattr(TrainConfig, field.name) for field in fields(TrainForm)
    }


def read_form(values: Sequence[Any], bench: Workbench, registry: Registry) -> TrainConfig:
    """Return what the form asks for.

    Args:
        values: Of `TrainForm.inputs`, in that order.
        bench: Knows the scenes and models.
        registry: Knows the runs.

    Raises:
        MaskgroupError: If a scene or model is unknown, or a value is out of range.
    """
    given = dict(zip((field.name for field in fields(TrainForm)), values, strict=True))
    on, judged = given.pop("on"), given.pop("judged")
    held = [] if judged == HELD_BACK else [judged]
    given |= models_for(given["model"], given["parent"], bench, registry)

    def folders(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(str(bench.open_scene(name).scene.folder) for name in names)

    loading = bench.judges.loading
    return TrainConfig(
        scenes=folders([name for name in on if name not in held]),
        evaluation_scenes=folders(held),
        device=loading.device,
        dtype=trainable_dtype(loading.dtype),
        **given,
    )


@dataclass(frozen=True)
class FormSection:
    """The form with what goes along: the run's name and the buttons.

    Attributes:
        preset: One of `PRESETS`, which sets some of the settings.
        usable: How many corrections could be used.
    """

    settings: TrainForm
    preset: gr.Radio
    name: gr.Textbox
    start: gr.Button
    preview: gr.Button
    usable: gr.HTML


def lay_out_form(bench: Workbench, registry: Registry) -> FormSection:
    """Lay out the form: what everybody chooses in a row, the other settings folded up below."""
    scenes, models, default = bench.scene_choices(), bench.judges.names(), bench.judges.default
    with gr.Row(elem_classes="mg-bar-row"):
        model = gr.Dropdown(models, value=default, label="Model to improve", elem_id="mg-train-model", scale=2)
        on = gr.Dropdown(scenes, value=bench.usual_scenes(), multiselect=True, label="Train on", elem_id="mg-train-scenes", scale=3)
        judges = [(HELD_BACK, HELD_BACK), *scenes]
        judged = gr.Dropdown(judges, value=HELD_BACK, label="Judge it by", elem_id="mg-train-judged", scale=2)
        start = gr.Button("Retrain", variant="primary", elem_id="mg-train-start", scale=1)
        preview = gr.Button("Look at the data first", elem_id="mg-train-preview", scale=1)
    usable = gr.HTML(elem_id="mg-train-usable")
    preset = gr.Radio(list(PRESETS), value="usual", label="How thoroughly", elem_id="mg-train-preset")
    with gr.Accordion("Settings", open=False, elem_id="mg-train-settings"):
        with gr.Row():
            pairs = _whole("Pairs", TrainConfig.pairs, least=2, elem_id="mg-train-pairs")
            epochs = _whole("Times each is seen", TrainConfig.epochs, elem_id="mg-train-epochs")
            negatives = gr.Radio(NEGATIVES, value=TrainConfig.negatives, label="Different pairs")
            use_labels = gr.Checkbox(TrainConfig.use_labels, label="Use corrections", elem_id="mg-train-labels")
            name = gr.Textbox(label="Name", placeholder="run-1, run-2, …", max_lines=1, elem_id="mg-train-name")
        with gr.Row():
            promotion = gr.Dropdown(PROMOTIONS, value=TrainConfig.promotion, label="Use it if", elem_id="mg-train-promotion")
            parent = gr.Dropdown([IMPROVED], value=IMPROVED[1], label="Model to beat", elem_id="mg-train-against")
            language_only = gr.Checkbox(TrainConfig.language_only, label="Train the language layers only (faster)")
            augment = _whole("Variants of each picture", TrainConfig.augment)
            frozen = _whole("Pairs of the verdict", TrainConfig.evaluation_pairs, least=2, elem_id="mg-train-frozen")
        with gr.Row():
            rate = gr.Number(rate_for(default, bench, registry), label="Learning rate", elem_id="mg-train-rate")
            rank = _whole("LoRA rank", TrainConfig.rank)
            alpha = _whole("LoRA alpha", TrainConfig.alpha)
            dropout = gr.Number(TrainConfig.dropout, label="LoRA dropout", minimum=0, maximum=0.95)
            batch = _whole("Pairs a step", TrainConfig.batch_pairs)
            tokens = _whole("Tokens at once", TrainConfig.pass_tokens)
            four_bit = gr.Checkbox(bench.judges.loading.four_bit, label="4 bits (less memory)")
            seed = _whole("Seed", TrainConfig.seed, least=0)
    settings = TrainForm(
        model=model,
        on=on,
        judged=judged,
        pairs=pairs,
        epochs=epochs,
        negatives=negatives,
        use_labels=use_labels,
        promotion=promotion,
        parent=parent,
        language_only=language_only,
        augment=augment,
        evaluation_pairs=frozen,
        learning_rate=rate,
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        batch_pairs=batch,
        pass_tokens=tokens,
        four_bit=four_bit,
        seed=seed,
    )
    return FormSection(settings, preset, name, start, preview, usable)


def _whole(label: str, value: int, *, least: int = 1, elem_id: str | None = None) -> gr.Number:
    return gr.Number(value, label=label, precision=0, minimum=least, elem_id=elem_id)
