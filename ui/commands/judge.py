"""`maskgroup judge`: one pair of masks, one verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from engine.errors import MaskError
from engine.judging.base import CropPair, load_prompt
from engine.scenes import find_scene
from engine.strict_json import to_json_text
from engine.types import MaskKey, MaskPair, Scene, Verdict
from engine.views.crops import show_mask
from engine.views.frames import FrameSource
from ui.commands.judge_options import (
    DeviceOption,
    DtypeOption,
    FourBitOption,
    LoaderOption,
    ModelOption,
    PromptOption,
    ThresholdOption,
    choose_threshold,
)
from ui.commands.scene_options import FollowLinksOption, JsonOption, ScenesOption, tell_left_out
from ui.services.open_judge import choose_options, find_judge, open_judge
from ui.settings import Settings


def judge(
    scene: Annotated[str, typer.Argument(help="A scene folder, or a name in --scenes.")],
    a: Annotated[str, typer.Option(help="First mask, as VIEW:MASK.")],
    b: Annotated[str, typer.Option(help="Second mask, as VIEW:MASK.")],
    model: ModelOption = "base",
    prompt: PromptOption = None,
    one_order: Annotated[bool, typer.Option("--one-order", help="Ask (a, b) only, not (b, a) too.")] = False,
    threshold: ThresholdOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    four_bit: FourBitOption = False,
    loader: LoaderOption = None,
    scenes: ScenesOption = None,
    follow_links: FollowLinksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask whether two masks show the same physical object."""
    settings = Settings()
    opened = find_scene(scene, settings.scene_folders(scenes))
    tell_left_out(opened)
    pair = MaskPair(parse_mask(a, opened), parse_mask(b, opened))
    frames = FrameSource(opened)
    asked = prompt or find_judge(model, settings).prompt
    style = load_prompt(asked).picture
    decided_at = choose_threshold(threshold, model, settings, prompt=asked)
    # Before the model is loaded: a mistyped mask should not wait for it.
    pictures = [show_mask(frames.frame(key.view), key, style=style) for key in (pair.a, pair.b)]
    options = choose_options(settings, device, dtype, four_bit, loader)
    found = open_judge(model, settings, options=options, prompt=asked, both_orders=not one_order)
    verdict = replace(found.judge([CropPair(*pictures)])[0], threshold=decided_at)
    typer.echo(to_json_text(describe(verdict, pair, opened)) if as_json else in_words(verdict, pair))


def parse_mask(text: str, scene: Scene) -> MaskKey:
    """Read VIEW:MASK and check that the view exists.

    Raises:
        MaskError: If the text has another form or the scene has no such view.
    """
    try:
        key = MaskKey.parse(text)
    except MaskError as error:
        raise MaskError(f"{text!r} is no mask: expected VIEW:MASK, for example {scene.view_names[0]}:12.") from error
    if key.view not in scene.view_names:
        known = f"{scene.view_names[0]} to {scene.view_names[-1]}"
        raise MaskError(f"Scene {scene.name!r} has no view {key.view!r}; its {len(scene.view_names)} views are {known}.")
    return key


def describe(verdict: Verdict, pair: MaskPair, scene: Scene) -> dict[str, object]:
    """Return the verdict as what `--json` prints."""
    return {
        "scene": scene.name,
        "a": str(pair.a),
        "b": str(pair.b),
        "answer": verdict.answer,
        "p_same": verdict.p_same,
        "ambiguity": verdict.ambiguity,
        "threshold": verdict.threshold,
        "swap_disagreement": verdict.swap_disagreement,
        "forced": verdict.forced,
        "uncalibrated": verdict.uncalibrated,
        "model": verdict.model,
        "prompt": verdict.prompt,
        "latency_s": verdict.latency_s,
    }


def in_words(verdict: Verdict, pair: MaskPair) -> str:
    """Return the verdict as one line."""
    what = "the same object" if verdict.answer == "same" else "different objects"
    details = f"P(same) = {verdict.p_same:.3f}, ambiguity {verdict.ambiguity:.3f}, model {verdict.model}"
    return f"{pair.a} and {pair.b}: {what} ({details}, {verdict.latency_s * 1000:.0f} ms)"
