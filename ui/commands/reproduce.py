"""`maskgroup reproduce`: the original project's protocol on its rooms, with our results beside the published ones."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Annotated

import typer

from engine.evaluation.given_pairs import read_given_pairs
from engine.evaluation.metrics import Scores
from engine.evaluation.published import (
    MODEL,
    PAIRS,
    PROMPT,
    PUBLISHED,
    ROLES,
    ROOMS,
    SOURCE,
    Role,
    open_rooms,
    protocol_settings,
)
from engine.evaluation.run import evaluate_scene
from engine.strict_json import to_json_text
from engine.types import Scene
from engine.views.frames import FrameSource
from ui.commands.evaluate import ProgressBars
from ui.commands.judge_options import (
    MODEL_HELP,
    DeviceOption,
    DtypeOption,
    FourBitOption,
    LoaderOption,
)
from ui.commands.scene_options import FollowLinksOption, JsonOption, list_left_out, tell_left_out, tell_lost
from ui.services.open_judge import choose_options, find_judge, find_trained_on, open_judge
from ui.settings import Settings

METRICS = ("accuracy", "precision", "recall")
DEFAULT_OUT = Path("reproduced")


def reproduce(
    replica: Annotated[Path, typer.Argument(help="Folder of Replica in OpenYOLO3D's layout: ROOM/ and ground_truth/ROOM.txt.")],
    model: Annotated[str, typer.Option(help=f"Measured as the original's base; {MODEL_HELP}")] = MODEL,
    tuned: Annotated[str | None, typer.Option(help="Measured as the original's adapter, on the same pairs; default: none.")] = None,
    room: Annotated[list[str] | None, typer.Option(help=f"A room; may be repeated; default: {' and '.join(ROOMS)}.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write; <out>/<base or tuned>/<room> is what evaluate writes.")] = DEFAULT_OUT,
    pairs: Annotated[int, typer.Option(help="Pairs of each room.")] = PAIRS,
    seed: Annotated[int, typer.Option(help="Seed of the sample; the same seed gives the same pairs.")] = 0,
    pairs_of: Annotated[
        Path | None,
        typer.Option(help="Folder with ROOM/predictions.jsonl, e.g. the original's: its pairs are asked instead of a sample."),
    ] = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    four_bit: FourBitOption = False,
    loader: LoaderOption = None,
    follow_links: FollowLinksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model as the original project did, its published results beside ours; run it again to go on after a stop."""
    own = Settings()
    options = choose_options(own, device, dtype, four_bit, loader)
    models: dict[Role, str] = dict(zip(ROLES, (model,) if tuned is None else (model, tuned), strict=False))
    for name in models.values():
        # Before rooms are read: a mistyped model should not wait for them.
        find_judge(name, own)
    rooms = open_rooms(replica, room or ROOMS)
    given = {scene.name: read_given_pairs(pairs_of, scene.name) if pairs_of else None for scene in rooms}
    for scene in rooms:
        tell_left_out(scene)
    frames = {scene.name: FrameSource(scene) for scene in rooms}
    scores: dict[tuple[str, Role], Scores] = {}
    for role, name in models.items():
        load = cache(partial(open_judge, name, own, options=options, prompt=PROMPT))
        trained_on = find_trained_on(name, own)
        for scene in rooms:
            with ProgressBars(f"{role}, {scene.name}") as bars:
                scores[scene.name, role] = evaluate_scene(
                    scene,
                    out / role / scene.name,
                    protocol_settings(name, pairs=pairs, seed=seed, given=given[scene.name]),
                    load,
                    frames=frames[scene.name],
                    trained_on=trained_on,
                    on_progress=bars.update,
                )
            if trained_on.includes(scene.folder):
                typer.echo(f"{name} was trained on {scene.name}: these figures flatter it.", err=True)
        load.cache_clear()
    for scene in rooms:
        tell_lost(scene, frames[scene.name])
    if as_json:
        left_out = {scene.name: list_left_out(frames[scene.name].left_out) for scene in rooms}
        typer.echo(
            to_json_text({"source": SOURCE, "models": models, "rooms": to_rows(rooms, scores), "left_out": left_out}, indent=2)
        )
        return
    typer.echo(as_table(rooms, scores))
    typer.echo(f"\nPublished: {SOURCE}. Ours: " + ", ".join(f"{role} = {name}" for role, name in models.items()) + ".")
    if tuned is not None:
        typer.echo(f"Pair by pair: maskgroup compare {out / 'base'} {out / 'tuned'}")


def to_rows(rooms: list[Scene], scores: dict[tuple[str, Role], Scores]) -> list[dict[str, object]]:
    """Return a row for each room and model as JSON values; a published value that there is not is null."""
    return [
        {
            "room": scene.name,
            "role": role,
            "pairs": scores[scene.name, role].samples,
            "ambiguous": scores[scene.name, role].ambiguous,
            **{name: scores[scene.name, role].estimates[name].value for name in METRICS},
            "published": None if (known := PUBLISHED.get((scene.name, role))) is None else {n: getattr(known, n) for n in METRICS},
        }
        for scene in rooms
        for role in ROLES
        if (scene.name, role) in scores
    ]


def as_table(rooms: list[Scene], scores: dict[tuple[str, Role], Scores]) -> str:
    """Return ours beside the published scores as a Markdown table; "-" where there is none."""
    lines = [
        f"| room | model | pairs | {' | '.join(f'{name} | published' for name in METRICS)} |",
        "|" + "---|" * (3 + 2 * len(METRICS)),
    ]
    for scene in rooms:
        for role in ROLES:
            found, known = scores.get((scene.name, role)), PUBLISHED.get((scene.name, role))
            if found is None:
                continue
            cells: list[str] = []
            for name in METRICS:
                ours = found.estimates[name]
                spread = "" if ours.low is None or ours.high is None else f" [{ours.low:.2f}, {ours.high:.2f}]"
                cells.append("-" if ours.value is None else f"{ours.value:.2f}{spread}")
                cells.append("-" if known is None else f"{getattr(known, name):.2f}")
            lines.append(f"| {scene.name} | {role} | {found.samples} | {' | '.join(cells)} |")
    return "\n".join(lines)
