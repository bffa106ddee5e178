"""`maskgroup train`: retrain the judge on corrections and generated pairs; the same runs as on the Retrain page."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from tqdm import tqdm

from db.labels.store import LabelStore
from db.runs import FINISHED, Run, RunStore
from db.schema.session import open_database
from engine.errors import RunError
from engine.scenes import find_scene, list_scenes
from engine.strict_json import to_json_text
from finetune.config import (
    BUNDLED_RATE,
    Backend,
    NegativeChoice,
    PromotionRule,
    Recomputing,
    TrainConfig,
    TrainingDtype,
    default_rate,
    trainable_dtype,
)
from finetune.run_folder import ADAPTER, LOG_FILE
from finetune.runs.base_choice import choose_models
from finetune.runs.events import Event
from finetune.runs.figures import COMPARE, HEADLINE, headline, warn_of_seen
from finetune.runs.model_card import name_of
from finetune.runs.registry import Registry
from ui.commands.judge_options import DeviceOption, FourBitOption
from ui.commands.scene_options import FollowLinksOption, ScenesOption
from ui.services.open_judge import choose_options
from ui.settings import settings_for

POLL_S = 0.3
IMPROVED_HELP = (
    "The judge to improve on: base, tuned, a run, a folder or a hub id; of an adapter, its base is trained. "
    "Default: the one in use (MASKGROUP_MODEL)."
)
AGAINST_HELP = "The judge to beat, which also finds hard negatives: base, tuned, a run, a folder or a hub id; default: --model."
CHECKPOINTING_HELP = (
    "Compute layers again for their gradients: less memory, a third more time; auto = except for the bundled model."
)
PASS_HELP = "Most tokens at once; a step with more runs in parts. Fewer need less memory."
RATE_HELP = f"Learning rate; default: {TrainConfig.learning_rate:g}, for the bundled model {BUNDLED_RATE:g}."


def train(
    scene: Annotated[list[str] | None, typer.Argument(help="Scene folders or names in --scenes; default: all of --scenes.")] = None,
    scenes: ScenesOption = None,
    follow_links: FollowLinksOption = None,
    evaluate_on: Annotated[list[str] | None, typer.Option(help="A scene to judge the run by, not trained on; repeatable.")] = None,
    pairs: Annotated[int, typer.Option(help="Training pairs, half of them the same object.")] = TrainConfig.pairs,
    epochs: Annotated[int, typer.Option(help="How often each pair is seen, each time in both orders.")] = TrainConfig.epochs,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: run-N. With --resume: which run.")] = None,
    backend: Annotated[Backend, typer.Option(help="unsloth needs NVIDIA.")] = TrainConfig.backend,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Leave people's corrections out.")] = False,
    model: Annotated[str | None, typer.Option(help=IMPROVED_HELP)] = None,
    against: Annotated[str | None, typer.Option(help=AGAINST_HELP)] = None,
    negatives: Annotated[NegativeChoice, typer.Option(help="hard = look-alikes, and what the judge gets wrong.")] = "hard",
    rate: Annotated[float | None, typer.Option(help=RATE_HELP)] = None,
    rank: Annotated[int, typer.Option(help="LoRA's rank.")] = TrainConfig.rank,
    alpha: Annotated[int, typer.Option(help="LoRA's alpha.")] = TrainConfig.alpha,
    dropout: Annotated[float, typer.Option(help="LoRA's dropout.")] = TrainConfig.dropout,
    batch: Annotated[int, typer.Option(help="Pairs in one step.")] = TrainConfig.batch_pairs,
    language_only: Annotated[bool, typer.Option("--language-only", help="Leave the vision tower as it is.")] = False,
    augment: Annotated[int, typer.Option(help="Variants of each picture in training; 1 = as it is.")] = TrainConfig.augment,
    evaluation_pairs: Annotated[int, typer.Option(help="Pairs of the verdict.")] = TrainConfig.evaluation_pairs,
    promotion: Annotated[PromotionRule, typer.Option(help="What it takes to become the tuned model.")] = TrainConfig.promotion,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    device: DeviceOption = None,
    dtype: Annotated[TrainingDtype | None, typer.Option(help="What training and judges compute in; default: auto.")] = None,
    four_bit: FourBitOption = False,
    checkpointing: Annotated[Recomputing, typer.Option(help=CHECKPOINTING_HELP)] = TrainConfig.gradient_checkpointing,
    pass_tokens: Annotated[int, typer.Option(help=PASS_HELP)] = TrainConfig.pass_tokens,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run --name.")] = False,
    db: Annotated[str | None, typer.Option(help="SQLite file or SQLAlchemy URL of labels and runs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Retrain the judge, and judge it: it becomes the tuned model only if it is better. Ctrl+C stops it; --resume goes on."""
    settings = settings_for(db)
    engine = open_database(settings.db)
    registry = Registry(RunStore(engine), settings.runs_folder)
    if resume:
        if name is None:
            raise RunError("--resume needs --name, the run to go on with.")
        run = registry.resume(name)
    else:
        models = choose_models(model or settings.model, against, settings.runs_folder)
        loading = choose_options(settings, device, None, four_bit)
        places = settings.scene_folders(scenes)
        held = [find_scene(one, places).folder for one in evaluate_on or []]
        chosen = [find_scene(one, places).folder for one in scene or []] or [info.folder for info in list_scenes(places[0])]
        config = TrainConfig(
            scenes=tuple(str(folder) for folder in chosen if folder not in held),
            evaluation_scenes=tuple(str(folder) for folder in held),
            model=models.base,
            parent=models.rival,
            pairs=pairs,
            epochs=epochs,
            negatives=negatives,
            use_labels=not no_labels,
            evaluation_pairs=evaluation_pairs,
            rank=rank,
            alpha=alpha,
            dropout=dropout,
            learning_rate=default_rate(models.base) if rate is None else rate,
            batch_pairs=batch,
            language_only=language_only,
            augment=augment,
            backend=backend,
            device=loading.device,
            dtype=dtype or trainable_dtype(loading.dtype),
            four_bit=loading.four_bit,
            gradient_checkpointing=checkpointing,
            pass_tokens=pass_tokens,
            seed=seed,
            promotion=promotion,
        )
        run = registry.start(config, LabelStore(engine).settled(), name=name)
    finished = follow(registry, run)
    report(registry, finished, as_json=as_json)
    if finished.status == "failed":
        raise RunError(f"{finished.note} (log: {registry.folder(finished.name) / LOG_FILE})")
    if finished.status == "cancelled":
        raise typer.Exit(1)


def follow(registry: Registry, run: Run) -> Run:
    """Show a run's progress until it ends; Ctrl+C asks it to stop, and waits until it has."""
    shown = len(registry.events(run.name)) if run.result else 0
    with tqdm(desc=run.name, bar_format="{desc}: {bar} {n}/{total} {postfix}", total=1) as bar:
        while True:
            try:
                current = registry.get(run.name)
                events = registry.events(run.name)
                for event in events[shown:]:
                    _show(bar, event)
                shown = len(events)
                if current.status in FINISHED:
                    return current
                time.sleep(POLL_S)
            except KeyboardInterrupt:
                registry.cancel(run.name)
                bar.set_description_str(f"{run.name}: stopping")


def _show(bar: Any, event: Event) -> None:
    if event.kind == "stage":
        bar.set_description_str(f"{bar.desc.split(':')[0]}: {event.text}")
        bar.reset(total=1)
        bar.set_postfix_str("")
    elif event.kind == "progress" and "total" in event.values:
        bar.total, bar.n = event.values["total"], event.values["done"]
        bar.refresh()
    elif event.kind == "step":
        bar.total, bar.n = event.values["total"], event.values["step"]
        bar.set_postfix_str(f"loss {event.number('loss'):.3f}")
    elif event.kind == "validation":
        bar.set_postfix_str(f"held-out accuracy {event.number('accuracy'):.3f}")


def report(registry: Registry, run: Run, *, as_json: bool) -> None:
    """Print what came of a run."""
    folder = registry.folder(run.name)
    verdict: dict[str, Any] = run.result.get("verdict", {})
    if as_json:
        found = {
            "name": run.name,
            "status": run.status,
            "note": run.note,
            "folder": str(folder),
            "tuned": registry.tuned(),
            **verdict,
        }
        typer.echo(to_json_text(found, indent=2))
        return
    typer.echo(f"{run.name}: {run.status}. {run.note or ''}")
    if verdict:
        typer.echo(f"  {headline(verdict)} ({HEADLINE.partition(': ')[2]})")
        for one in warn_of_seen(verdict, rival=name_of(str(run.config.get("parent", "base"))), name=run.name):
            typer.echo(f"  {one}", err=True)
    for metric, values in verdict.get("metrics", {}).items():
        spread = "" if values["low"] is None else f"  [{values['low']:+.3f}, {values['high']:+.3f}]"
        typer.echo(f"  {metric:<24} {values['before']:.3f} -> {values['after']:.3f}  {values['difference']:+.3f}{spread}")
    if verdict:
        typer.echo(f"  {verdict['seconds']:.0f} s, {verdict['peak_memory_mb']} MB; adapter: {folder / ADAPTER}")
        typer.echo(f"  {COMPARE}")
