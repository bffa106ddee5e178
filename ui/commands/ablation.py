"""`maskgroup ablation`: the same pairs asked with every prompt, one table."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Annotated

import typer

from engine.evaluation.metrics import Scores
from engine.evaluation.pair_sampling import NegativeMode, SamplingSettings
from engine.evaluation.run import EvaluationSettings, evaluate_scene
from engine.judging.base import load_prompt, prompt_names
from engine.scenes import find_scene
from engine.strict_json import to_json_text
from ui.commands.evaluate import ProgressBars
from ui.commands.judge_options import ModelOption
from ui.commands.scene_options import FollowLinksOption, JsonOption, ScenesOption
from ui.services.open_judge import find_judge, open_judge
from ui.settings import Settings

COLUMNS = ("accuracy", "precision", "recall", "specificity", "f1", "twin_accuracy", "ece", "swap_disagreement", "ambiguity_rate")


def ablation(
    scene: Annotated[list[str], typer.Argument(help="Scene folders, or names in --scenes.")],
    out: Annotated[Path, typer.Option(help="Folder to write; <out>/<prompt>/<scene> is what evaluate writes.")],
    model: ModelOption = "base",
    prompt: Annotated[list[str] | None, typer.Option(help="A prompt; may be given several times; default: all.")] = None,
    pairs: Annotated[int, typer.Option(help="Pairs of each scene; half are positive.")] = 300,
    negatives: Annotated[NegativeMode, typer.Option(help="hard = of the same class, else nearest in appearance.")] = "random",
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    scenes: ScenesOption = None,
    follow_links: FollowLinksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model with every prompt on the same pairs; run it again to go on after a stop."""
    sampling = SamplingSettings(pairs=pairs, negatives=negatives, seed=seed)
    own = Settings()
    opened = [find_scene(name, own.scene_folders(scenes)) for name in scene]
    rows: list[tuple[str, str, Scores]] = []
    for name in [load_prompt(one).name for one in prompt or prompt_names()]:
        settings = EvaluationSettings(model=model, prompt=name, sampling=sampling)
        load = cache(partial(open_judge, model, own, prompt=name))
        for one in opened:
            with ProgressBars(f"{name}, {one.name}") as bars:
                rows.append((name, one.name, evaluate_scene(one, out / name / one.name, settings, load, on_progress=bars.update)))
    if as_json:
        typer.echo(to_json_text([to_row(name, where, scores) for name, where, scores in rows], indent=2))
        return
    typer.echo(as_table(rows, default=find_judge(model, own).prompt))


def to_row(prompt: str, scene: str, scores: Scores) -> dict[str, object]:
    """Return one line of the table by name."""
    values = {name: scores.estimates[name].value for name in COLUMNS}
    return {"prompt": prompt, "scene": scene, "pairs": scores.samples, "forced": scores.forced, **values}


def as_table(rows: list[tuple[str, str, Scores]], *, default: str) -> str:
    """Return the rows as a Markdown table, best accuracy first; the prompt that is asked by default is marked."""
    lines = [
        f"| prompt | scene | pairs | {' | '.join(name.replace('_', ' ') for name in COLUMNS)} |",
        "|" + "---|" * (len(COLUMNS) + 3),
    ]
    for name, scene, scores in sorted(rows, key=lambda row: -(row[2].estimates["accuracy"].value or 0)):
        values = [scores.estimates[column].value for column in COLUMNS]
        cells = ["" if value is None else f"{value:.3f}" for value in values]
        lines.append(f"| {name}{' (default)' if name == default else ''} | {scene} | {scores.samples} | {' | '.join(cells)} |")
    return "\n".join(lines)
