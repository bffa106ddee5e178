"""One training from its settings to its result, stage by stage, in the folder of its run. Called by the worker process.

The folder: `config.json`, `corrections.json` (as they were when it was started), `dataset.json`, `samples.png`, `events.jsonl`,
`before/` and `after/` (the frozen pairs judged), `checkpoints/`, `adapter/` (PEFT), `verdict.json`. A stage whose file exists is
not done again, so a run that was stopped continues where it was.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.assets import BUNDLED_MODEL
from engine.errors import ModelError, RunError
from engine.evaluation.trained_on import SceneMark, TrainedOn, mark_scene, marks_of, write_marks
from engine.files import write_atomically, writing_folder
from engine.judging.adapters import ADAPTER_CONFIG, has_adapter, record_base
from engine.judging.base import CropPair, Judge
from engine.judging.calibration.fit import Calibration, fit_calibration, save_calibration
from engine.judging.local.passes import release_memory
from engine.judging.registry import load_judge
from engine.judging.sources import LoadOptions, ModelReference, resolve_model
from engine.types import BoolArray, Float64Array, MaskKey, MaskPair
from finetune.config import TrainConfig, read_config
from finetune.data.augment import augment_crop
from finetune.data.corrections import read_corrections
from finetune.data.pairs import DataSet, DataSettings, TrainingPair, build_data_set, hash_content, masks_in
from finetune.data.sample_sheet import draw_sheet
from finetune.data.scene_pool import Role, ScenePool, open_pool
from finetune.run_folder import ADAPTER, AFTER, BEFORE, CORRECTIONS_FILE, DATASET_FILE, SHEET_FILE, VERDICT_FILE
from finetune.runs.events import EventWriter, Stage
from finetune.runs.model_card import write_card
from finetune.runs.models import RunModels
from finetune.runs.promotion import promote
from finetune.training.base import base_source, prompt_of
from finetune.training.before_and_after import compare_judged, decide, judge_frozen, report_verdict
from finetune.training.loop import Held, StepReport, Trainer
from finetune.training.lora import (
    Answerer,
    ProcessedCrop,
    Question,
    add_adapter,
    keep_inputs_only,
    load_base,
)
from finetune.training.memory_needs import check_fit
from finetune.training.unsloth_backend import chooses_unsloth, load_for_training

MIN_CALIBRATION_PAIRS = 100
"""Fewer held-out pairs say less about a bias than the training's own."""


HELD_OUT_DOUBT = 0.1
"""The held-out pairs are of a tenth of the objects, often five or six: a free fit takes them for all there are, and makes the
judge far too sure (docs/training.md)."""

logger = logging.getLogger(__name__)


class Cancelled(Exception):
    """The run was asked to stop."""


class TrainingRun:
    """One run.

    Args:
        run_dir: Its folder, with its settings and labels.
        is_cancelled: Whether somebody asked the run to stop; asked between pairs and steps.
    """

    def __init__(self, run_dir: Path, *, is_cancelled: Callable[[], bool] = lambda: False) -> None:
        self.run_dir = run_dir
        self.config = read_config(run_dir)
        self.events = EventWriter(run_dir)
        self._is_cancelled = is_cancelled
        self._marks: dict[Path, SceneMark] = {}
        self._began = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Do all stages that are not done yet; returns the result.

        Raises:
            Cancelled: If it was asked to stop.
            MaskgroupError: If it cannot be done.
        """
        if not has_adapter(self.run_dir / ADAPTER):
            # What has been trained only needs to be judged, which takes far less; loading a judge checks that.
            check_fit(self.config)
        pools = self._open_scenes()
        judge = self._judge_to_beat()
        data = self._data_set(pools, judge)
        self._judge_frozen(BEFORE, Stage.JUDGING_RIVAL, data, pools, judge)
        del judge
        release_memory()
        self._train(data, pools)
        release_memory()
        tuned = load_judge(
            str(base_source(self.config.model)),
            adapter=self.run_dir / ADAPTER,
            name=self.run_dir.name,
            prompt=prompt_of(self.config).name,  # as the judge to beat, and as the crops were cut
            loading=self._loading(),
        )
        self._judge_frozen(AFTER, Stage.JUDGING_NEW, data, pools, tuned)
        return self._decide(data)

    def _open_scenes(self) -> list[ScenePool]:
        self.events.write("stage", Stage.READING)
        style = prompt_of(self.config).picture
        folders = scenes_of(self.config)
        names = [folder.name for folder, _ in folders]
        if len(set(names)) < len(names):
            raise RunError(
                f"Two of the scenes have one name ({', '.join(sorted(names))}); give each scene once, to train or to evaluate."
            )
        pools: list[ScenePool] = []
        for number, (folder, role) in enumerate(folders):
            self._check()
            pools.append(open_pool(folder, role=role, style=style))
            # Now, as the scene is there and was just read: at the end it may be gone.
            self._marks[folder] = mark_scene(folder)
            self.events.write("progress", done=number + 1, total=len(folders))
        return pools

    def _judge_to_beat(self) -> Judge:
        self.events.write("stage", Stage.LOADING_RIVAL)
        # Both get the same prompt, because the crops were cut for it.
        return load_judge(self._parent(), prompt=prompt_of(self.config).name, loading=self._loading())

    def _loading(self) -> LoadOptions:
        """Return how the run's judges are loaded: as its model is trained, or an adapter would be judged on other weights."""
        return LoadOptions(device=self.config.device, dtype=self.config.dtype, four_bit=self.config.four_bit)

    def _parent(self) -> ModelReference:
        return resolve_model(self.config.parent, runs=RunModels(self.run_dir.parent))

    def _data_set(self, pools: Sequence[ScenePool], judge: Judge) -> DataSet:
        path = self.run_dir / DATASET_FILE
        settings = data_settings(self.config)
        if path.is_file():
            data = DataSet.from_json(json.loads(path.read_text(encoding="utf-8")))
            if hash_content(pools, [*data.training, *data.validation]) != data.content_hash:
                raise RunError("The scenes have changed since this run was started, so it cannot go on as it was; start a new run.")
            return data
        self.events.write("stage", Stage.CHOOSING)
        asked = 0

        def mine(pool: ScenePool, pairs: Sequence[MaskPair]) -> list[float]:
            nonlocal asked
            answers: list[float] = []
            for start in range(0, len(pairs), 128):
                self._check()
                part = pairs[start : start + 128]
                crops = [CropPair(pool.crops[p.a], pool.crops[p.b]) for p in part]
                answers += [verdict.p_same for verdict in judge.judge(crops, both_orders=False)]
                asked += len(part)
                self.events.write("progress", f"{asked} candidates asked for hard negatives", done=asked)
            return answers

        labels = read_corrections(self.run_dir / CORRECTIONS_FILE) if self.config.use_labels else []
        data = build_data_set(pools, labels, settings, mine=mine)
        by_name = {pool.name: pool for pool in pools}
        sheet = draw_sheet(data.training, lambda scene, key: by_name[scene].crops[key])
        partial = self.run_dir / f".{SHEET_FILE}"
        Image.fromarray(sheet).save(partial, format="png")
        partial.replace(self.run_dir / SHEET_FILE)
        write_atomically(path, data.to_json())
        self.events.write("log", f"data set {data.content_hash[:12]}", **data.counts())
        return data

    def _judge_frozen(self, folder: str, stage: Stage, data: DataSet, pools: Sequence[ScenePool], judge: Judge) -> None:
        self.events.write("stage", stage)
        by_name = {pool.name: pool for pool in pools}

        def tick(done: int, total: int) -> None:
            self.events.write("progress", done=done, total=total)
            self._check()

        judge_frozen(data.evaluation, lambda scene, key: by_name[scene].crops[key], judge, self.run_dir / folder, tick=tick)

    def _train(self, data: DataSet, pools: Sequence[ScenePool]) -> None:
        if has_adapter(self.run_dir / ADAPTER):
            return
        self.events.write("stage", Stage.PREPARING)
        trainer, model = build_trainer(self.config, data, pools, self.run_dir, check=self._check)
        resumed = trainer.resume()
        if not resumed:
            seconds = trainer.time_steps()
            self.events.write("log", f"one step takes {seconds:.2f} s", estimate_s=seconds * trainer.total, steps=trainer.total)
        else:
            self.events.write("log", f"going on from step {trainer.step} of {trainer.total}")
        self.events.write("stage", Stage.TRAINING)

        def on_step(report: StepReport) -> None:
            self.events.write("step", **asdict(report))

        def on_held(held: Held) -> None:
            self.events.write("validation", **asdict(held))

        if not trainer.run(on_step=on_step, on_held=on_held, is_cancelled=self._is_cancelled):
            raise Cancelled
        self.events.write("stage", Stage.SAVING)
        found = fit_on_held_out(trainer, prompt_of(self.config).reference)
        if found is not None:
            self.events.write("log", f"calibrated on {found.pairs} held-out pairs", temperature=found.temperature, bias=found.bias)
        save_adapter(
            model,
            self.run_dir / ADAPTER,
            base=base_source(self.config.model),
            calibration=found,
            trained_on=marks_of_training(self.config, self._marks),
        )

    def _decide(self, data: DataSet) -> dict[str, Any]:
        found = compare_judged(self.run_dir / BEFORE, self.run_dir / AFTER)
        decision = decide(found, self.config)
        verdict = report_verdict(found, decision)
        verdict["data_hash"], verdict["counts"] = data.content_hash, data.counts()
        verdict["trained_on"] = self._trained_on_judged()
        verdict["seconds"] = round(time.monotonic() - self._began, 1)
        # Kilobytes on Linux, bytes on macOS.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        verdict["peak_memory_mb"] = round(peak / 2**20)
        write_atomically(self.run_dir / VERDICT_FILE, verdict)
        write_card(self.run_dir / ADAPTER, name=self.run_dir.name, config=self.config, verdict=verdict)
        if decision.is_promoted:
            promote(self.run_dir.parent, self.run_dir.name)
        return verdict

    def _trained_on_judged(self) -> dict[str, list[str]]:
        """Return the scenes whose frozen pairs the judge to beat and the new one may have been trained on, by side."""
        source = self._parent()
        known = {
            BEFORE: marks_of(source.base, source.adapter),
            AFTER: TrainedOn(tuple(marks_of_training(self.config, self._marks))),
        }
        return {side: find_seen(self.config, trained, self._marks) for side, trained in known.items()}

    def _check(self) -> None:
        if self._is_cancelled():
            raise Cancelled


def scenes_of(config: TrainConfig) -> list[tuple[Path, Role]]:
    """Return the folders of a run's scenes with the role of each."""
    found: list[tuple[Path, Role]] = []
    for folder in config.scenes:
        found.append((Path(folder), "train" if config.evaluation_scenes else "both"))
    for folder in config.evaluation_scenes:
        found.append((Path(folder), "evaluate"))
    return found


def marks_of_training(config: TrainConfig, marks: Mapping[Path, SceneMark]) -> list[SceneMark]:
    """Return what the scenes that a run trains on are recognised by, of the marks of all its scenes by folder."""
    return [replace(marks[folder], held_back=role == "both") for folder, role in scenes_of(config) if role != "evaluate"]


def find_seen(config: TrainConfig, trained: TrainedOn, marks: Mapping[Path, SceneMark]) -> list[str]:
    """Return the names of a run's scenes whose frozen pairs a model may have seen in training.

    Held-back objects are always the same ones. So a model that was trained on a scene with held-back objects has not seen the
    frozen pairs of another training of this kind on that scene, but has seen some of them if the whole scene is measured on.
    """
    judged = [(folder, role) for folder, role in scenes_of(config) if role != "train"]
    found = [(folder, role, trained.find(marks[folder])) for folder, role in judged]
    return [folder.name for folder, role, mark in found if mark is not None and not (mark.held_back and role == "both")]


def data_settings(config: TrainConfig) -> DataSettings:
    """Return the part of a run's settings that concerns its data."""
    return DataSettings(
        pairs=config.pairs,
        evaluation_pairs=config.evaluation_pairs,
        validation_pairs=config.validation_pairs,
        negatives=config.negatives,
        seed=config.seed,
    )


def build_trainer(
    config: TrainConfig,
    data: DataSet,
    pools: Sequence[ScenePool],
    folder: Path | None,
    *,
    check: Callable[[], None] = lambda: None,
) -> tuple[Trainer, Any]:
    """Load the base with a fresh adapter, and prepare every picture once; returns the trainer and PEFT's model."""
    if chooses_unsloth(config):
        model, processor = load_for_training(config)
    else:
        base, processor, _ = load_base(config)
        model = add_adapter(base, config)
    if config.recomputes:
        keep_inputs_only(model)
    answerer = Answerer(model, processor, prompt_of(config), trains_vision=not config.language_only)
    by_name = {pool.name: pool for pool in pools}
    style = prompt_of(config).picture
    pictures: dict[tuple[str, MaskKey], list[ProcessedCrop]] = {}
    trained = set(masks_in(data.training))
    for number, (scene, key) in enumerate(masks_in([*data.training, *data.validation])):
        check()
        crop = by_name[scene].crops[key]
        crops = [crop]
        if (scene, key) in trained and style == "on_black":
            rng = np.random.default_rng((config.seed, number))
            crops += [augment_crop(crop, rng) for _ in range(config.augment - 1)]
        pictures[scene, key] = answerer.with_features([answerer.picture(c) for c in crops])
    balance = sum(pair.is_same for pair in data.training) / len(data.training)

    def ask(pair: TrainingPair, variant: int) -> Question:
        a, b = pictures[pair.scene, pair.pair.a], pictures[pair.scene, pair.pair.b]
        # The two sides take different variants, so that a shared disturbance cannot give the answer away.
        weight = 0.5 / (balance if pair.is_same else 1 - balance)
        return Question(a[variant], b[(variant + 1) % len(b)], pair.is_same, weight)

    variants = [[ask(pair, v) for v in range(config.augment if style == "on_black" else 1)] for pair in data.training]
    held = [Question(pictures[p.scene, p.pair.a][0], pictures[p.scene, p.pair.b][0], p.is_same) for p in data.validation]
    return Trainer(answerer, config, variants, held, folder), model


def fit_on_held_out(trainer: Trainer, prompt: str) -> Calibration | None:
    """Fit temperature and bias on the held-out pairs; None if there are too few, or if right answers would be lost.

    Training on the hardest negatives shifts the balance of the answers towards "different"; the fit corrects that. The fitted
    likelihood also depends on how sure wrong answers are, so the best fit may lose right answers at the threshold. Then it is
    not used.
    """
    margins, is_same = trainer.held_out_margins()
    if min(is_same.sum(), (~is_same).sum()) < MIN_CALIBRATION_PAIRS // 2:
        return None
    try:
        source = "held-out pairs of the training"
        found = fit_calibration(margins, is_same, prompt=prompt, source=source, doubt=HELD_OUT_DOUBT)
    except ModelError:
        # The answers say nothing about the truth; the result will show it.
        return None
    right, raw = (_count_right(answers, is_same) for answers in (found.apply(margins), margins))
    if right < raw:
        logger.info("no calibration is kept: it would be right on %d of %d held-out pairs, without it %d", right, len(margins), raw)
        return None
    return found


def _count_right(margins: Float64Array, is_same: BoolArray) -> int:
    """Return how many answers at the threshold are right."""
    return int(((margins >= 0) == is_same).sum())


def save_adapter(
    model: Any,
    folder: Path,
    *,
    base: str | Path,
    calibration: Calibration | None = None,
    trained_on: Sequence[SceneMark] | None = None,
) -> None:
    """Write an adapter as PEFT does, with its base's fingerprint, its scenes and its calibration; completely or not at all."""
    with writing_folder(folder, replaces=True, is_sole_writer=True) as partial:
        model.save_pretrained(str(partial), safe_serialization=True)
        settings = partial / ADAPTER_CONFIG
        values = json.loads(settings.read_text(encoding="utf-8"))
        if values.get("base_model_name_or_path") == str(BUNDLED_MODEL):
            # PEFT writes the base's path on this disk, which is another one on other machines.
            values["base_model_name_or_path"] = BUNDLED_MODEL.name
            write_atomically(settings, values)
        if Path(base).is_dir():
            record_base(partial, Path(base))
        if calibration is not None:
            save_calibration(partial, calibration)
        if trained_on is not None:
            write_marks(partial, trained_on)
