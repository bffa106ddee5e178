"""Measures a judge on a scene: samples pairs, asks, writes `<folder>/{settings.json, predictions.jsonl, metrics.json}`.

A stopped run continues where it stopped: the same sample is drawn again, and predictions.jsonl must be its beginning.
Knows nothing about the command line or which models there are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from engine.errors import SceneError
from engine.evaluation.comparison.paired import TRAINED_FIELD
from engine.evaluation.given_pairs import digest, find_given_pairs
from engine.evaluation.metrics import Scores, score, to_report
from engine.evaluation.pair_sampling import SampledPair, SamplingSettings, SeenMask, sample_pairs
from engine.evaluation.predictions import EvaluationError, Prediction, PredictionWriter, read_predictions
from engine.evaluation.result_files import METRICS_FILE, PREDICTIONS, SETTINGS
from engine.evaluation.trained_on import UNKNOWN, TrainedOn
from engine.files import write_atomically
from engine.grouping.pipeline import find_truth
from engine.judging.base import AMBIGUOUS_ABOVE, DEFAULT_PROMPT, CropPair, Judge, ServedJudge, load_prompt
from engine.judging.calibration.fit import margin_of
from engine.scenes import scene_settings
from engine.strict_json import as_object
from engine.types import NOTHING, USUAL_THRESHOLD, Float32Array, Frame, LeftOutView, MaskKey, Scene, Verdict
from engine.views.crops import select_mask, show_mask
from engine.views.frames import DEFAULT_HEIGHT, DEFAULT_WIDTH, FrameSource
from engine.views.identical_copies import find_identical_copies

SAME_CALIBRATION = 1e-3
"""How far two probabilities of one raw answer may lie apart where the calibration is the same: rounding only."""
PAIRS_A_CALL = 16
"""Pairs handed to the judge at once, more where a server can take more; what a kill can cost."""

OnProgress = Callable[[str, int, int], None]
"""Told what is being done, how much is done and of how much."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings that, with the scene, decide the outcome of an evaluation.

    Attributes:
        model: The judge as it was asked for.
        sampling: Which pairs of each scene are asked.
        prompt: Name of the prompt.
        both_orders: Ask (a, b) and (b, a) and average the logits; False = as the original, in one order.
        ambiguous_above: Probability mass on neither yes nor no above which an answer counts as ambiguous.
        threshold: P(same) from which the answer is "same".
        given: What was asked before and is asked again instead of a sample; of `sampling` only the seed counts then.
    """

    model: str = "base"
    prompt: str = DEFAULT_PROMPT
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    both_orders: bool = True
    ambiguous_above: float = AMBIGUOUS_ABOVE
    threshold: float = USUAL_THRESHOLD
    given: tuple[Prediction, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a threshold that is none.

        Raises:
            EvaluationError: If it is not between 0 and 1.
        """
        if not 0 < self.threshold < 1:
            raise EvaluationError(f"The threshold is {self.threshold}, expected a probability between 0 and 1.")

    def to_json(self, scene: Scene) -> dict[str, object]:
        """Return what settings.json holds."""
        own = {
            "model": self.model,
            "prompt": load_prompt(self.prompt).reference,
            "both_orders": self.both_orders,
            "ambiguous_above": self.ambiguous_above,
            "threshold": self.threshold,
        }
        asked = (
            asdict(self.sampling)
            if self.given is None
            else {"pairs": len(self.given), "given": digest(self.given), "seed": self.sampling.seed}
        )
        return {"scene": scene.name, "frame_size": f"{DEFAULT_WIDTH}x{DEFAULT_HEIGHT}", **own, **asked}


def evaluate_scene(
    scene: Scene,
    folder: Path,
    settings: EvaluationSettings,
    load: Callable[[], Judge],
    *,
    frames: FrameSource | None = None,
    trained_on: TrainedOn = UNKNOWN,
    on_progress: OnProgress = lambda what, done, total: None,
) -> Scores:
    """Judge the sampled pairs that are not yet in `folder`, then score them all.

    Args:
        scene: A scene with ground truth: equal mask ids in two views are one object.
        folder: Where to write; nothing is written before the pairs are sampled and the judge is loaded.
        settings: Which pairs are asked, and how; a folder that was begun with others is refused.
        load: Gives the judge; only called where pairs remain.
        frames: Gives the scene's frames, where they are open already.
        trained_on: What the judge was trained on; metrics.json says whether this scene is part of it.
        on_progress: Called after every view and every batch.

    Raises:
        EvaluationError: If `folder` holds another run, or is being written by another process.
        SceneError: If the scene has no ground truth.
        MaskError: If no pairs can be sampled, or the scene lacks those that are given.
    """
    check_folder(folder, settings, scene)
    frames = frames or FrameSource(scene)
    if settings.given is None:
        pairs = sample_scene(scene, frames, settings.sampling, on_progress=on_progress)
    else:
        pairs = find_given_pairs(settings.given, see_masks(scene, frames, on_progress=on_progress))
    written = folder / PREDICTIONS
    judge = load() if not written.exists() or len(read_predictions(written)) < len(pairs) else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"The folder {folder} cannot be made ({error.strerror}); choose another --out.") from error
    write_atomically(folder / SETTINGS, settings.to_json(scene))
    with PredictionWriter(written) as writer:
        check_beginning(writer.kept, pairs, written, judge)
        done = writer.kept.copy()
        on_progress("judging", len(done), len(pairs))
        while judge is not None and len(done) < len(pairs):
            for prediction in _judge_batch(pairs, len(done), frames, judge, settings):
                writer.append(prediction)
                done.append(prediction)
            on_progress("judging", len(done), len(pairs))
        scores = score(done, seed=settings.sampling.seed)
        report = {**to_report(scores), TRAINED_FIELD: trained_on.includes(scene.folder), **describe_left_out(frames.left_out)}
        write_atomically(folder / METRICS_FILE, report)
    return scores


def describe_left_out(left_out: Sequence[LeftOutView]) -> dict[str, object]:
    """Return which views of a scene were left out and why, as JSON values; nothing where all are used."""
    views = [{"view": view.name, "reason": view.reason} for view in left_out]
    return {"left_out": views} if views else {}


def sample_scene(
    scene: Scene,
    frames: FrameSource,
    settings: SamplingSettings,
    *,
    on_progress: OnProgress = lambda what, done, total: None,
) -> list[SampledPair]:
    """Sample pairs of a scene's masks.

    Raises:
        SceneError: If nothing says which masks are of one object.
        MaskError: If no pairs can be sampled.
    """
    masks = see_masks(scene, frames, on_progress=on_progress)
    copies = {} if scene.mesh is None else find_identical_copies(scene.mesh)
    return sample_pairs(masks, settings, copies=copies, embed=lambda key: color_embedding(frames, key))


def see_masks(scene: Scene, frames: FrameSource, *, on_progress: OnProgress = lambda what, done, total: None) -> list[SeenMask]:
    """Return all masks of a scene whose object is known.

    Raises:
        SceneError: If nothing says which masks are of one object.
    """
    masks: list[SeenMask] = []
    for done, frame in enumerate(frames.usable(scene.view_names), start=1):
        masks += masks_of_objects(scene, frame)
        on_progress("reading views", done, len(scene.view_names))
    if not masks and not scene.mask_ids_are_instances:
        raise SceneError(
            f"{scene.folder} has no ground truth: its mask ids are local to a view, so nothing says which pairs are the same; "
            f"add gt_masks/, set {scene_settings.IDS_SETTING} in {scene_settings.SETTINGS} if equal ids do mean one object, "
            "or evaluate another scene."
        )
    return masks


def masks_of_objects(scene: Scene, frame: Frame) -> list[SeenMask]:
    """Return the masks of a view whose object is known; of stored ground truth, the object that most of a mask's pixels show."""
    if scene.mask_ids_are_instances:
        return [SeenMask(MaskKey(frame.view, mask), mask, area) for mask, area in frame.mask_areas.items()]
    truth = find_truth(scene, [frame])
    if truth is None:
        return []
    named = zip(sorted(frame.mask_areas), truth.tolist(), strict=True)
    return [SeenMask(MaskKey(frame.view, mask), one, frame.mask_areas[mask]) for mask, one in named if one != NOTHING]


def color_embedding(frames: FrameSource, key: MaskKey) -> Float32Array:
    """Return the square roots of a mask's colour histogram, (64,) float32; its cosine is Bhattacharyya's coefficient."""
    frame = frames.frame(key.view)
    cells = frame.rgb[select_mask(frame, key)].astype(np.int64) // 64
    counts = np.bincount(cells @ np.array([16, 4, 1]), minlength=64)
    return np.sqrt(counts / counts.sum()).astype(np.float32)


def check_folder(folder: Path, settings: EvaluationSettings, scene: Scene) -> None:
    """Make sure that `folder` is empty, absent, or holds a run with the same settings.

    Raises:
        EvaluationError: If it holds anything else.
    """
    path = folder / SETTINGS
    if not path.exists():
        if (folder / PREDICTIONS).exists() or (folder / METRICS_FILE).exists():
            raise EvaluationError(f"{folder} holds results without {SETTINGS}, not of a run of ours; choose another --out.")
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} cannot be read ({error}); choose another --out or remove the folder.") from error
    wanted = settings.to_json(scene)
    # Older runs do not store their threshold; it was the default.
    told = as_object(there)
    old = {} if told is None else {"threshold": USUAL_THRESHOLD, **told}
    if old != wanted:
        changed = [f"{name} {old.get(name)!r} there, {value!r} now" for name, value in wanted.items() if old.get(name) != value]
        raise EvaluationError(
            f"{folder} holds a run with other settings ({'; '.join(changed) or 'unknown ones'}); choose another --out."
        )


def check_beginning(kept: Sequence[Prediction], pairs: Sequence[SampledPair], path: Path, judge: Judge | None) -> None:
    """Check that the predictions on disk are the beginning of the sample, from the same judge.

    Raises:
        EvaluationError: If it is not.
    """
    same = len(kept) <= len(pairs) and all(
        prediction.index == i and prediction.pair == pair.pair and prediction.is_same == pair.is_same
        for i, (prediction, pair) in enumerate(zip(kept, pairs, strict=False))
    )
    if not same:
        raise EvaluationError(f"{path} holds other pairs than this scene gives now; the scene has changed: choose another --out.")
    models = {prediction.model for prediction in kept} - ({judge.name} if judge else set())
    if judge is not None and models:
        raise EvaluationError(f"{path} was begun by {', '.join(sorted(models))}, not by {judge.name}; choose another --out.")
    if judge is not None and kept and not _is_calibrated_alike(kept[-1], judge):
        raise EvaluationError(f"{path} was begun with another calibration of {judge.name}; choose another --out.")


def _is_calibrated_alike(prediction: Prediction, judge: Judge) -> bool:
    """Whether a prediction's probability follows from its raw one by the judge's present calibration."""
    calibration = judge.calibration
    if calibration is None or prediction.uncalibrated is None or prediction.p_same is None:
        return calibration is None and prediction.uncalibrated is None
    logit = float(calibration.apply(margin_of(prediction.uncalibrated)))
    return abs(1 / (1 + math.exp(-logit)) - prediction.p_same) < SAME_CALIBRATION


def _judge_batch(
    pairs: Sequence[SampledPair], start: int, frames: FrameSource, judge: Judge, settings: EvaluationSettings
) -> list[Prediction]:
    at_once = max(judge.pairs_a_call, PAIRS_A_CALL) if isinstance(judge, ServedJudge) else PAIRS_A_CALL
    batch = pairs[start : start + at_once]
    style = judge.prompt.picture
    asked = [CropPair(*(show_mask(frames.frame(key.view), key, style=style) for key in (p.pair.a, p.pair.b))) for p in batch]
    if settings.both_orders:
        asked += [CropPair(pair.b, pair.a) for pair in asked]
    # Both orders are asked here and both answers kept: the judge must not average them first.
    verdicts = judge.judge(asked, both_orders=False)
    return [
        to_prediction(
            start + i,
            pair,
            verdicts[i],
            verdicts[len(batch) + i] if settings.both_orders else None,
            ambiguous_above=settings.ambiguous_above,
            threshold=settings.threshold,
        )
        for i, pair in enumerate(batch)
    ]


def to_prediction(
    index: int,
    sampled: SampledPair,
    ab: Verdict,
    ba: Verdict | None,
    *,
    ambiguous_above: float,
    threshold: float = USUAL_THRESHOLD,
) -> Prediction:
    """Join the verdicts of one pair, the second with the images swapped: the logits are averaged."""
    both = [ab] if ba is None else [ab, ba]
    p_same = mean_in_logit_space([verdict.p_same for verdict in both])
    uncalibrated = [verdict.uncalibrated for verdict in both]
    ambiguity = sum(verdict.ambiguity for verdict in both) / len(both)
    return Prediction(
        index=index,
        pair=sampled.pair,
        is_same=sampled.is_same,
        said_same=None if ambiguity > ambiguous_above else p_same >= threshold,
        p_same=p_same,
        p_same_ab=ab.p_same,
        p_same_ba=None if ba is None else ba.p_same,
        threshold=threshold,
        ambiguity=ambiguity,
        negative_kind=sampled.negative_kind,
        twin=sampled.twin,
        model=ab.model,
        prompt=ab.prompt,
        latency_s=sum(verdict.latency_s for verdict in both),
        forced=any(verdict.forced for verdict in both),
        uncalibrated=None if None in uncalibrated else mean_in_logit_space([p for p in uncalibrated if p is not None]),
    )


def mean_in_logit_space(probabilities: Sequence[float]) -> float:
    """Return the probability whose logit is the mean of the logits; 0 and 1 are taken as a millionth away."""
    clipped = [min(max(p, 1e-6), 1 - 1e-6) for p in probabilities]
    mean = sum(math.log(p / (1 - p)) for p in clipped) / len(clipped)
    return 1 / (1 + math.exp(-mean))
