"""`maskgroup agree`: whether two ways of running a model give the same answers."""

from __future__ import annotations

import gc
from dataclasses import asdict, dataclass
from typing import Annotated, Literal, get_args

import typer

from engine.errors import ModelError
from engine.evaluation.agreement import Agreement, Answers, ask_all, compare_answers, meaning_in_words
from engine.evaluation.pair_sampling import NegativeMode, SampledPair, SamplingSettings
from engine.evaluation.run import sample_scene
from engine.judging.base import CropPair, Judge, load_prompt
from engine.judging.calibration.operating_point import OperatingPoint
from engine.judging.sources import Dtype, Loader, LoadOptions
from engine.scenes import find_scene
from engine.strict_json import to_json_text
from engine.types import USUAL_THRESHOLD
from engine.views.crops import show_mask
from engine.views.frames import FrameSource
from ui.commands.evaluate import ProgressBars
from ui.commands.judge_options import MODEL_HELP, PromptOption
from ui.commands.scene_options import FollowLinksOption, JsonOption, ScenesOption, tell_left_out, tell_lost
from ui.services.open_judge import choose_options, find_judge, open_judge
from ui.settings import Settings

MAX_SAID = 10
"""Changed answers that are told one by one; JSON has all."""
ONCE_OR_TWICE = "given once it holds for both local models, given twice for the first and the second"

FourBitSide = Literal["first", "second", "both"]


@dataclass(frozen=True)
class Way:
    """One of the two ways: the name of a model, and how it is loaded."""

    model: str
    loading: LoadOptions | None


def agree(
    model: Annotated[list[str], typer.Option(help=f"Given twice: {MODEL_HELP}")],
    scene: Annotated[str, typer.Option(help="A scene folder, or a name in --scenes, with ground truth.")] = "sh3d_living",
    pairs: Annotated[int, typer.Option(help="Pairs to ask both about; half are of one object.")] = 200,
    negatives: Annotated[NegativeMode, typer.Option(help="hard = of the same class, else nearest in appearance.")] = "random",
    seed: Annotated[int, typer.Option(help="Seed of the sample; the same seed gives the same pairs.")] = 0,
    prompt: PromptOption = None,
    one_order: Annotated[bool, typer.Option("--one-order", help="Ask (a, b) only, not (b, a) too.")] = False,
    threshold: Annotated[float, typer.Option(help='P(same) from which both answers are "same".')] = USUAL_THRESHOLD,
    device: Annotated[list[str] | None, typer.Option(help=f"auto, cpu, cuda, cuda:N or mps; {ONCE_OR_TWICE}.")] = None,
    dtype: Annotated[list[str] | None, typer.Option(help=f"{', '.join(get_args(Dtype))}; {ONCE_OR_TWICE}.")] = None,
    four_bit: Annotated[FourBitSide | None, typer.Option(help="Which of the two is loaded in 4 bits.")] = None,
    loader: Annotated[list[str] | None, typer.Option(help=f"{' or '.join(get_args(Loader))} (NVIDIA); {ONCE_OR_TWICE}.")] = None,
    scenes: ScenesOption = None,
    follow_links: FollowLinksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say on how many pairs two ways of running the same weights differ, and how fast each is."""
    # What a served model answers is what is to be found out here, so it is not checked beforehand.
    settings = Settings().model_copy(update={"check_served": False})
    decided_at = OperatingPoint(threshold).threshold
    ways = choose_ways(settings, model, device=device or [], dtype=dtype or [], loader=loader or [], four_bit=four_bit)
    sampling = SamplingSettings(pairs=pairs, negatives=negatives, seed=seed)
    asked = load_prompt(prompt or find_judge(ways[0].model, settings).prompt)
    opened = find_scene(scene, scenes or settings.scenes)
    tell_left_out(opened)
    frames = FrameSource(opened)
    # Servers cost nothing to ask whether they are there; a local model is not loaded in vain then.
    judges = [connect(way, settings, asked.name) for way in ways]
    with ProgressBars(opened.name) as bars:
        sampled = sample_scene(opened, frames, sampling, on_progress=bars.update)
        crops = [
            CropPair(*(show_mask(frames.frame(key.view), key, style=asked.picture) for key in (one.pair.a, one.pair.b)))
            for one in sampled
        ]
    tell_lost(opened, frames)
    answers: list[Answers] = []
    for number, way in enumerate(ways):
        # One after the other, so that two large models need the memory of one.
        judge = judges[number] or open_judge(way.model, settings, options=way.loading, prompt=asked.name)
        with ProgressBars(f"{'AB'[number]}, {judge.name}") as bars:

            def show(done: int, total: int, bars: ProgressBars = bars) -> None:
                bars.update("judging", done, total)

            answers.append(ask_all(judge, crops, both_orders=not one_order, on_progress=show))
        del judge
        judges[number] = None
        gc.collect()
    found = compare_answers(answers[0], answers[1], threshold=decided_at)
    if as_json:
        report = {"scene": opened.name, "seed": seed, "prompt": asked.reference, "both_orders": not one_order}
        typer.echo(to_json_text({**report, **to_json(found, answers, ways, sampled, decided_at)}, indent=2))
        return
    typer.echo(in_words(found, answers, ways, sampled, opened.name))


def choose_ways(
    settings: Settings,
    models: list[str],
    *,
    device: list[str],
    dtype: list[str],
    loader: list[str],
    four_bit: FourBitSide | None,
) -> list[Way]:
    """Return both ways; options given once hold for both models, or for the local one where the other is on a server.

    Raises:
        ModelError: If there are not two models, no such model, or more than two values of an option.
    """
    if len(models) != 2:
        raise ModelError(f"--model was given {_times(len(models))}, expected twice: --model A --model B.")
    for name, given in {"--device": device, "--dtype": dtype, "--loader": loader}.items():
        if len(given) > 2:
            raise ModelError(f"{name} was given {_times(len(given))}, expected once for both models or twice.")
    # typer checks the choices of an option that is given once, not those of one that may be repeated.
    for name, given, known in (("--dtype", dtype, get_args(Dtype)), ("--loader", loader, get_args(Loader))):
        if wrong := [value for value in given if value not in known]:
            raise ModelError(f"{name} {wrong[0]!r} is unknown; expected {' or '.join(known)}.")
    served = [find_judge(model, settings).kind == "server" for model in models]
    ways: list[Way] = []
    for side, model in enumerate(models):
        # A server takes no such options, so what is said once is meant for the other side, if that is a local one.
        is_spared = served[side] and not all(served)
        chosen = [
            given[side] if len(given) == 2 else given[0] if given and not is_spared else None for given in (device, dtype, loader)
        ]
        in_four_bits = four_bit == ("first", "second")[side] or (four_bit == "both" and not is_spared)
        options = choose_options(settings, chosen[0], chosen[1], in_four_bits, chosen[2])
        ways.append(Way(model, options if options != choose_options(settings) else None))
    return ways


def connect(way: Way, settings: Settings, prompt: str) -> Judge | None:
    """Return a served judge, None for a local one, which is loaded when its turn comes.

    Raises:
        ModelError: If the server does not answer, or was given options that it cannot take.
    """
    if find_judge(way.model, settings).kind != "server":
        return None
    return open_judge(way.model, settings, options=way.loading, prompt=prompt)


def _times(count: int) -> str:
    return {0: "not at all", 1: "once", 2: "twice"}.get(count, f"{count} times")


def describe_way(way: Way) -> str:
    """Return a way in words: the model, and what its loading differs in from the usual."""
    usual, options = LoadOptions(), way.loading or LoadOptions()
    said = [str(value) for name in ("device", "dtype", "loader") if (value := getattr(options, name)) != getattr(usual, name)]
    said += ["4 bits"] if options.four_bit else []
    return f"{way.model} ({', '.join(said)})" if said else way.model


def in_words(found: Agreement, answers: list[Answers], ways: list[Way], sampled: list[SampledPair], scene: str) -> str:
    """Return a comparison as a few lines, the sentence that says what it means last."""
    lines = [f"{found.pairs} pairs of {scene}"]
    for side, way, said in zip("AB", ways, answers, strict=True):
        unclear = f", {said.unclear} neither yes nor no" if said.unclear else ""
        lines.append(f"  {side}: {describe_way(way)}: {said.pairs_a_second:.1f} pairs/s{unclear}")
    share = len(found.changed) / found.pairs
    where = f", at most {found.farthest:.3f} from the threshold" if found.changed else ""
    lines.append(f"  answers that differ      {len(found.changed)} ({share:.1%}){where}")
    for one in found.changed[:MAX_SAID]:
        pair = sampled[one.place].pair
        lines.append(f"    {pair.a} and {pair.b}: P(same) {one.a:.3f} in A, {one.b:.3f} in B")
    if len(found.changed) > MAX_SAID:
        lines.append(f"    and {len(found.changed) - MAX_SAID} more")
    if found.mean is not None:
        lines.append(f"  change of P(same)        mean {found.mean:.4f}, 95th percentile {found.p95:.4f}, largest {found.most:.4f}")
    if found.correlation is not None:
        lines.append(f"  correlation of P(same)   {found.correlation:.4f}")
    return "\n".join([*lines, meaning_in_words(found)])


def to_json(
    found: Agreement, answers: list[Answers], ways: list[Way], sampled: list[SampledPair], threshold: float
) -> dict[str, object]:
    """Return a comparison as what `--json` prints."""
    sides = [
        {
            "model": way.model,
            "loading": None if way.loading is None else asdict(way.loading),
            "pairs_a_second": said.pairs_a_second,
            "unclear": said.unclear,
            "gives_probabilities": said.gives_probabilities,
        }
        for way, said in zip(ways, answers, strict=True)
    ]
    changed = [
        {"a": str(sampled[one.place].pair.a), "b": str(sampled[one.place].pair.b), "p_same": [one.a, one.b]}
        for one in found.changed
    ]
    return {
        "pairs": found.pairs,
        "threshold": threshold,
        "ways": sides,
        "answers_differ": len(found.changed),
        "farthest_from_threshold": found.farthest,
        "mean_change": found.mean,
        "p95_change": found.p95,
        "largest_change": found.most,
        "correlation": found.correlation,
        "meaning": found.meaning,
        "in_words": meaning_in_words(found),
        "changed": changed,
    }
