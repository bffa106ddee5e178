"""The settings of a training, frozen and written to the run's folder as JSON. Knows nothing about how a training works."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from engine.errors import RunError
from finetune.run_folder import CONFIG_FILE

Backend = Literal["auto", "peft", "unsloth"]
NegativeChoice = Literal["hard", "random"]
PromotionRule = Literal["mcnemar", "interval", "always", "never"]
Recomputing = Literal["auto", "on", "off"]
TrainingDtype = Literal["auto", "float32", "bfloat16"]
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
RESERVED_NAMES = ("base", "tuned")
BUNDLED_RATE = 5e-4
"""Learning rate for the bundled model: at 2e-4, chosen for 8 billion parameters, 126 steps left its answers as they were."""


@dataclass(frozen=True)
class TrainConfig:
    """Every setting of a training; the LoRA defaults are those of the original project.

    Attributes:
        scenes: Folders of the scenes to train on.
        evaluation_scenes: Folders of scenes that are measured on before and after, and never trained on; empty = held-back
            objects of `scenes`.
        model: Base model, whole weights: "base", a folder or a hub id. `finetune.runs.base_choice` finds it for any judge's name.
        parent: The judge to beat, which also finds the hard negatives: "base", "tuned", a run's name, a folder or a hub id. Its
            weights are not trained further.
        pairs: Training pairs, half of them the same object; corrections come first, the rest is generated.
        epochs: How often each pair is seen, each time in both orders.
        negatives: "hard" = of the same class, and those that the judge to beat gets wrong; "random" = any other object.
        use_labels: Whether corrections are used.
        evaluation_pairs: Frozen pairs of the result, over all its scenes.
        validation_pairs: Held-out pairs; about 120 of them give the curve, all of them the calibration.
        rank, alpha, dropout, learning_rate: Settings of the LoRA and its training.
        warmup: Share of the steps during which the learning rate rises.
        weight_decay: How strongly AdamW pulls the adapter's weights to 0.
        batch_pairs: Pairs in one step; each is seen in both orders.
        language_only: Leave the vision tower as it is, so that its features are computed once and shared with the base.
        augment: Pictures of each mask in training: 1 = as it is; more add variants with other light and ragged borders.
        backend: "peft", "unsloth" (NVIDIA only), or "auto" = unsloth where it can run, except for the bundled model.
        device: "auto", "cpu", "cuda", "cuda:1", "mps"; of the training and of its judges.
        dtype: What both compute in: "auto" = bfloat16 on a GPU that has it, else float32.
        four_bit: Load the language model's weights in 4 bits, in training and in judging.
        gradient_checkpointing: Keep only each layer's input and compute the layer again for its gradient: far less memory, about a
            third more time, the same gradients. "auto" = "on", except for the bundled model.
        pass_tokens: Most tokens that go through the model at once; a step with more runs in parts, whose gradients add up.
        seed: Of the choice of pairs, the first weights of the adapter, the order of the pairs and the dropout.
        checkpoint_every: Steps between checkpoints.
        promotion: When the run becomes the tuned model: "mcnemar" = more right answers with p < `significance`; "interval" = the
            95 % interval of the accuracy's difference lies above 0; "always"; "never".
        significance: Largest p-value that counts as better.
        max_recall_loss: A run that loses more recall than this is not promoted.
    """

    scenes: tuple[str, ...]
    evaluation_scenes: tuple[str, ...] = ()
    model: str = "base"
    parent: str = "base"
    pairs: int = 1000
    epochs: int = 2
    negatives: NegativeChoice = "hard"
    use_labels: bool = True
    evaluation_pairs: int = 600
    validation_pairs: int = 360
    rank: int = 16
    alpha: int = 16
    dropout: float = 0.05
    learning_rate: float = 2e-4
    warmup: float = 0.1
    weight_decay: float = 0.01
    batch_pairs: int = 16
    language_only: bool = False
    augment: int = 1
    backend: Backend = "auto"
    device: str = "auto"
    dtype: TrainingDtype = "auto"
    four_bit: bool = False
    gradient_checkpointing: Recomputing = "auto"
    pass_tokens: int = 4096
    seed: int = 0
    checkpoint_every: int = 20
    promotion: PromotionRule = "mcnemar"
    significance: float = 0.05
    max_recall_loss: float = 0.02

    def __post_init__(self) -> None:
        """Refuse settings that no training can use.

        Raises:
            RunError: If a setting is out of range.
        """
        least = {
            "pairs": 2, "epochs": 1, "evaluation_pairs": 2, "validation_pairs": 2, "rank": 1, "alpha": 1, "batch_pairs": 1,
            "augment": 1, "checkpoint_every": 1, "seed": 0, "pass_tokens": 1,
        }  # fmt: skip
        for name, low in least.items():
            if getattr(self, name) < low:
                raise RunError(f"{name} is {getattr(self, name)}, expected {low} or more; correct it.")
        for name, top in {
            "dropout": 0.95,
            "warmup": 1.0,
            "significance": 1.0,
            "max_recall_loss": 1.0,
            "weight_decay": 10.0,
        }.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= top):
                raise RunError(f"{name} is {value}, expected 0 to {top:g}; correct it.")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise RunError(f"learning_rate is {self.learning_rate}, expected a number above 0; correct it.")
        choices = {
            "negatives": NegativeChoice, "backend": Backend, "promotion": PromotionRule, "dtype": TrainingDtype,
            "gradient_checkpointing": Recomputing,
        }  # fmt: skip
        for name, kinds in choices.items():
            if getattr(self, name) not in get_args(kinds):
                raise RunError(f"{name} is {getattr(self, name)!r}, expected {', '.join(get_args(kinds))}; correct it.")
        if not self.scenes:
            raise RunError("No scene to train on was given; name at least one.")

    @property
    def recomputes(self) -> bool:
        """Whether layers are computed again for their gradients."""
        return self.gradient_checkpointing == "on" or (self.gradient_checkpointing == "auto" and self.model != "base")

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "scenes": list(self.scenes), "evaluation_scenes": list(self.evaluation_scenes)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainConfig:
        """Read what `to_json` gave; unknown names are refused.

        Raises:
            RunError: If a name or a value is not known.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise RunError(
                f"The training's settings have {', '.join(unknown)}, which this version does not know; update maskgroup."
            )
        ready: dict[str, Any] = dict(values)
        for name in ("scenes", "evaluation_scenes"):
            ready[name] = tuple(str(folder) for folder in ready.get(name, ()))
        try:
            return cls(**ready)
        except TypeError as error:
            raise RunError(f"The training's settings are incomplete ({error}); start a new run.") from error


def trainable_dtype(dtype: str) -> TrainingDtype:
    """Return what to train in where judges are asked to compute in `dtype`: never float16, in which small gradients vanish."""
    return "float32" if dtype == "float32" else "bfloat16" if dtype == "bfloat16" else "auto"


def default_rate(model: str) -> float:
    """Return the learning rate for a base where none is given."""
    return BUNDLED_RATE if model == "base" else TrainConfig.learning_rate


def read_config(run_dir: Path) -> TrainConfig:
    """Read a run's settings.

    Raises:
        RunError: If they are missing or broken.
    """
    path = run_dir / CONFIG_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); start a new run.") from error
    return TrainConfig.from_json(values)


def check_run_name(name: str) -> None:
    """Refuse names that cannot name a folder, or that have another meaning.

    Raises:
        RunError: If the name is not usable.
    """
    if not RUN_NAME.fullmatch(name) or name in RESERVED_NAMES:
        raise RunError(f"{name!r} cannot name a run: use 1 to 80 letters, digits, '.', '_' and '-', but not 'base' or 'tuned'.")
