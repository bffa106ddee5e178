"""The README of an adapter: how it was trained and on what, how good it is, how to load it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.files import write_atomically, write_text_atomically
from finetune.config import TrainConfig
from finetune.runs.figures import COMPARE, HEADLINE, headline, warn_of_seen

README = "README.md"
METRICS = "metrics.json"


def write_card(folder: Path, *, name: str, config: TrainConfig, verdict: Mapping[str, Any], command: str | None = None) -> None:
    """Write README.md and metrics.json into an adapter's folder; PEFT's template README is replaced."""
    write_atomically(folder / METRICS, {"config": _shown(config), **verdict})
    write_text_atomically(folder / README, describe(name=name, config=config, verdict=verdict, command=command))


def describe(*, name: str, config: TrainConfig, verdict: Mapping[str, Any], command: str | None = None) -> str:
    """Return the text of a model card."""
    layers = "language model only" if config.language_only else "language model and vision tower"
    scenes = ", ".join(Path(scene).name for scene in config.scenes)
    judged = ", ".join(Path(scene).name for scene in config.evaluation_scenes) or "held-back objects of the same scenes"
    counts = ", ".join(f"{key}: {value}" for key, value in verdict["counts"].items())
    rows = [
        f"| {metric.replace('_', ' ')} | {m['before']:.3f} | {m['after']:.3f} | {_difference(m)} |"
        for metric, m in verdict["metrics"].items()
    ]
    test = verdict["mcnemar"]
    usage = [
        "```python",
        "from peft import PeftModel",
        "from transformers import AutoModelForImageTextToText",
        "",
        f'model = AutoModelForImageTextToText.from_pretrained("{_base_name(config)}")',
        'model = PeftModel.from_pretrained(model, "PATH/OF/THIS/FOLDER")',
        "```",
    ]
    return "\n".join(
        [
            "---",
            "library_name: peft",
            f"base_model: {_base_name(config)}",
            "tags: [lora, image-text-to-text, mask-matching]",
            "---",
            "",
            f"# {name}",
            "",
            "A LoRA adapter that answers whether two pictures of masks show the same physical object.",
            "",
            f"- Base: `{_base_name(config)}`; adapters in the {layers}; rank {config.rank}, alpha {config.alpha}, "
            f"dropout {config.dropout:g}, learning rate {config.learning_rate:g}, {config.epochs} epochs, "
            f"{config.batch_pairs} pairs a step in both orders, seed {config.seed}",
            f"- Trained on: {scenes}; {counts}",
            f"- Data hash: `{verdict['data_hash']}`",
            f"- Measured on: {judged}; {verdict['pairs']} frozen pairs",
            *([f"- Made by: `{command}`"] if command else []),
            "",
            f"**{headline(verdict)}**: {HEADLINE.partition(': ')[2]}. {COMPARE}",
            "",
            *(f"> {one}" for one in warn_of_seen(verdict, rival=name_of(config.parent), name=name)),
            "",
            "| | before | after | difference (95 % interval) |",
            "|---|---|---|---|",
            *rows,
            "",
            f"McNemar's test: {test['fixed']} answers became right, {test['broken']} became wrong, p = {test['p_value']:.2g}.",
            "",
            verdict["reason"],
            "",
            *usage,
            "",
        ]
    )


def _difference(metric: Mapping[str, Any]) -> str:
    spread = "" if metric["low"] is None else f" ({metric['low']:+.3f} to {metric['high']:+.3f})"
    return f"{metric['difference']:+.3f}{spread}"


def _base_name(config: TrainConfig) -> str:
    return "assets/models/tiny-qwen3-vl" if config.model == "base" else name_of(config.model)


def name_of(model: str) -> str:
    """Return what a model is called in public: a folder's own name, any other name as it is."""
    return Path(model).name if Path(model).is_absolute() else model


def _shown(config: TrainConfig) -> dict[str, Any]:
    """Return the settings with folders by name only: paths would reveal whose disk they were on."""
    values = config.to_json()
    for name in ("scenes", "evaluation_scenes"):
        values[name] = [Path(folder).name for folder in values[name]]
    for name in ("model", "parent"):
        values[name] = name_of(values[name])
    return values
