"""`maskgroup calibrate`: makes a judge's probabilities mean what they say, and shows by how much."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from engine.assets import BUNDLED_MODEL
from engine.evaluation.calibration_run import CalibrationRun, calibrate, check_scene_count
from engine.evaluation.pair_sampling import NEGATIVE_MODES, SamplingSettings
from engine.evaluation.predictions import Prediction, read_predictions
from engine.evaluation.result_files import PREDICTIONS
from engine.evaluation.run import EvaluationSettings, evaluate_scene
from engine.files import write_atomically
from engine.judging.base import load_prompt
from engine.scenes import find_scene
from engine.strict_json import to_json_text
from engine.types import Scene
from finetune.bundled.checking_rooms import write_checking_rooms
from ui.commands.evaluate import ProgressBars
from ui.commands.judge_options import ModelOption, PromptOption
from ui.commands.reliability_plot import write_reliability_page, write_reliability_picture
from ui.commands.scene_options import FollowLinksOption, JsonOption, ScenesOption
from ui.services.open_judge import find_judge, open_judge
from ui.services.thresholds import open_points
from ui.settings import Settings
from ui.stores.calibrations import find_home, save_at_home

DEFAULT_OUT = Path("out/calibration")


def calibrate_model(
    scene: Annotated[list[str] | None, typer.Argument(help="Scenes with ground truth; none: generated rooms.")] = None,
    model: ModelOption = "base",
    prompt: PromptOption = None,
    rooms: Annotated[int, typer.Option(min=2, help="Generated rooms, where no scene is given.")] = 24,
    furniture: Annotated[Path | None, typer.Option(help="Folder of Sweet Home 3D libraries for the rooms; default: none.")] = None,
    held_out: Annotated[Path, typer.Option(help="Models that may not furnish them.")] = BUNDLED_MODEL / "held_out_models.tsv",
    pairs: Annotated[int, typer.Option(help="Pairs of each scene, for each kind of negative.")] = 60,
    scenes: ScenesOption = None,
    follow_links: FollowLinksOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the judged pairs and reliability.{html,png,json}.")] = DEFAULT_OUT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure only; keep nothing.")] = False,
    beside_weights: Annotated[
        bool, typer.Option("--beside-weights", help="Write into a bundled model's folder too, not into the data folder.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fit temperature and bias on half of the scenes, measure them on the other half, and keep them if they help there."""
    own = Settings()
    found = find_judge(model, own)
    home = find_home(found)
    asked = load_prompt(prompt or found.prompt)
    if scene:
        opened = [find_scene(name, own.scene_folders(scenes)) for name in scene]
        rooms_used = ", ".join(one.name for one in opened)
    else:
        kind = "furnished" if furniture else "parametric"
        opened = [
            find_scene(str(room), out) for room in write_checking_rooms(out / kind, rooms, furniture=furniture, held_out=held_out)
        ]
        rooms_used = f"{rooms} generated rooms, {kind}"
    # Before hundreds of pairs are judged in vain.
    check_scene_count(len({one.name for one in opened}))
    # Other weights or another prompt are another run: their pairs must not be taken for these.
    judge_id = (home.weights or hashlib.sha256(home.judge.encode()).hexdigest())[:12]
    judged = judge_scenes(opened, out / f"{asked.reference}-{judge_id}", model=model, prompt=asked.name, pairs=pairs)
    run = calibrate(judged, prompt=asked.reference, source=rooms_used)
    curves = {"before": run.before, "after": run.after}
    title = f"{model}, prompt {asked.reference}, {run.checked} held-out pairs"
    write_reliability_page(curves, out / "reliability.html", title=title)
    write_reliability_picture(curves, out / "reliability.png", title=title)
    saved = save_at_home(home, run.calibration, own, beside_weights=beside_weights) if run.helps and not dry_run else None
    report = describe(run, model=model, saved=saved)
    write_atomically(out / "reliability.json", report)
    typer.echo(to_json_text(report, indent=2) if as_json else in_words(run, saved, is_dry=dry_run))
    if saved is not None and open_points(own).get(model) is not None:
        typer.echo(f"The threshold kept for {model} was chosen on other probabilities; choose it anew.", err=True)


def judge_scenes(scenes: list[Scene], out: Path, *, model: str, prompt: str, pairs: int) -> list[list[Prediction]]:
    """Judge pairs of each scene with every kind of negative, in both orders; what is in `out` already is not asked again."""
    load = cache(lambda: open_judge(model, Settings(), prompt=prompt))
    judged: list[list[Prediction]] = []
    for scene in scenes:
        found: list[Prediction] = []
        # Other seeds, so that the positives are not the same twice.
        for seed, negatives in enumerate(NEGATIVE_MODES):
            sampling = SamplingSettings(pairs=pairs, negatives=negatives, seed=seed)
            settings = EvaluationSettings(model=model, prompt=prompt, sampling=sampling)
            folder = out / negatives / scene.name
            with ProgressBars(scene.name) as bars:
                evaluate_scene(scene, folder, settings, load, on_progress=bars.update)
            found += read_predictions(folder / PREDICTIONS)
        judged.append(found)
    return judged


def describe(run: CalibrationRun, *, model: str, saved: Path | None) -> dict[str, object]:
    """Return what `--json` prints and reliability.json holds."""
    return {
        "model": model,
        "helps": run.helps,
        "kept_in": None if saved is None else str(saved),
        "calibration": asdict(run.calibration),
        "checked_pairs": run.checked,
        "before": asdict(run.before),
        "after": asdict(run.after),
    }


def in_words(run: CalibrationRun, saved: Path | None, *, is_dry: bool) -> str:
    """Return the run as a few lines, the last one says what became of it."""
    fitted = run.calibration
    rows = [
        f"temperature {fitted.temperature:.3f}, bias {fitted.bias:+.3f}, fitted on {fitted.pairs} pairs of {fitted.source}",
        f"on {run.checked} pairs of other scenes   before   after",
    ]
    for name, before, after in (
        ("ECE", run.before.ece, run.after.ece),
        ("log loss", run.before.log_loss, run.after.log_loss),
        ("accuracy", run.before.accuracy, run.after.accuracy),
    ):
        rows.append(f"  {name:<24} {before:8.3f} {after:8.3f}")
    if not run.helps:
        rows.append("it does not help on the other scenes, so it was not kept; what was there before stays as it is")
    elif is_dry:
        rows.append("it helps; dry run: it was not kept")
    else:
        rows.append(f"it helps; kept in {saved}")
    return "\n".join(rows)
