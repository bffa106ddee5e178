"""Shows what a training would use and how long it would take, without starting it: counts, sample pairs, a few timed steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.errors import RunError
from engine.types import UInt8Array
from finetune.config import TrainConfig
from finetune.data.corrections import SettledLabel
from finetune.data.pairs import build_data_set
from finetune.data.sample_sheet import draw_sheet
from finetune.data.scene_pool import open_pool
from finetune.training.base import prompt_of

CALIBRATION_PAIRS = 64


@dataclass(frozen=True, eq=False)
class Preview:
    """What a training would be.

    Attributes:
        counts: Number of pairs from each source, by plain names.
        sheet: Some of the pairs, (H, W, 3) uint8.
        steps: Steps of the optimizer.
        seconds: Seconds that all steps take, from a few that were timed; reading scenes and judging come on top.
        memory: What the training needs and what is free, in a sentence.
    """

    counts: dict[str, int]
    sheet: UInt8Array
    steps: int
    seconds: float
    memory: str


def preview_training(config: TrainConfig, labels: Sequence[SettledLabel]) -> Preview:
    """Look at a training before it is started; its hard negatives are chosen by class, because no judge is asked yet.

    Raises:
        MaskgroupError: If it cannot be done, or does not fit into the memory.
    """
    # They bring torch, which the app does without until a model is asked or trained.
    from finetune.runs.stages import build_trainer, data_settings, scenes_of
    from finetune.training.memory_needs import examine_fit

    memory = examine_fit(config)
    if not memory.fits:
        raise RunError(memory.words())
    pools = [open_pool(folder, role=role, style=prompt_of(config).picture) for folder, role in scenes_of(config)]
    data = build_data_set(pools, labels if config.use_labels else [], data_settings(config))
    by_name = {pool.name: pool for pool in pools}
    sheet = draw_sheet(data.training, lambda scene, key: by_name[scene].crops[key])
    few = replace(data, training=data.training[:CALIBRATION_PAIRS], validation=data.validation[:2])
    trainer, _ = build_trainer(config, few, pools, None)
    seconds = trainer.time_steps()
    steps = -(-len(data.training) // config.batch_pairs) * config.epochs
    return Preview(data.counts(), sheet, steps, seconds * steps, memory.words())
