"""The rows of the table: which sensor, segmenter and poses are put together, and how a row is made from clean frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from engine.types import Frame, Int32Array
from tests.bench.sensors.depth import SENSORS
from tests.bench.sensors.motion import blur, drift, jump, misplace
from tests.bench.sensors.segmenter import SEGMENTERS, Granularity, segment

Motion = Literal["drift", "jumps", "wrong frame", "blur"]


@dataclass(frozen=True)
class World:
    """One row.

    Attributes:
        name: What it is called in the table.
        sensor: Whose depth, None = true depth.
        masks: Whose masks, None = true masks.
        motion: What happens to poses and pictures, in this order.
        views: Views that are used, evenly spread; None = all.
    """

    name: str
    sensor: str | None = None
    masks: Granularity | None = None
    motion: tuple[Motion, ...] = ()
    views: int | None = None


@dataclass(frozen=True, eq=False)
class Spoiled:
    """Frames of a world, and the object of each mask, (N,) int32 in table order, -1 = none."""

    frames: list[Frame]
    truth: Int32Array


SENSOR_AND_MASKS = "structured light, masks"
WORLDS: tuple[World, ...] = (
    World("clean"),
    World("structured light", sensor="structured light"),
    World("time of flight", sensor="time of flight"),
    World("phone LiDAR", sensor="phone LiDAR"),
    World("network depth", sensor="network depth"),
    World("masks: objects", masks="objects"),
    World("masks: parts", masks="parts"),
    World("masks: wholes", masks="wholes"),
    World("drift", motion=("drift",)),
    World("jumps", motion=("jumps",)),
    World("wrong frame", motion=("wrong frame",)),
    World("motion blur", motion=("blur",)),
    World("10 views", views=10),
    World(SENSOR_AND_MASKS, sensor="structured light", masks="objects"),
    World(f"{SENSOR_AND_MASKS}, drift", sensor="structured light", masks="objects", motion=("drift",)),
    World(f"{SENSOR_AND_MASKS}, drift, 20 views", sensor="structured light", masks="objects", motion=("drift",), views=20),
    World("time of flight, masks, drift", sensor="time of flight", masks="objects", motion=("drift",)),
    World("phone LiDAR, masks, drift", sensor="phone LiDAR", masks="objects", motion=("drift",)),
    World("phone LiDAR, parts, drift", sensor="phone LiDAR", masks="parts", motion=("drift",)),
    World("network depth, masks, drift", sensor="network depth", masks="objects", motion=("drift",)),
    World("structured light, wholes, jumps, blur", sensor="structured light", masks="wholes", motion=("jumps", "blur")),
)


def spoil(frames: Sequence[Frame], world: World, *, seed: int) -> Spoiled:
    """Make a world's frames from clean ones; each part of a world errs alike in every row with the same seed."""
    if world.views is not None and world.views < len(frames):
        frames = [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, world.views).astype(int)).tolist()]
    made: list[Frame] = []
    truth: list[Int32Array] = []
    for number, clean in enumerate(frames):
        frame, objects = clean, np.asarray(sorted(clean.mask_areas), np.int32)
        if world.masks is not None:
            frame, objects = segment(clean, np.random.default_rng((seed, 1, number)), SEGMENTERS[world.masks])
        if world.sensor is not None and clean.depth is not None:
            frame = replace(frame, depth=SENSORS[world.sensor](clean.depth, np.random.default_rng((seed, 2, number))))
        made.append(frame)
        truth.append(objects)
    movers = {"drift": drift, "jumps": jump, "wrong frame": misplace, "blur": blur}
    for motion in world.motion:
        made = movers[motion](made, np.random.default_rng((seed, 3, sum(motion.encode()))))
    return Spoiled(made, np.concatenate([np.zeros(0, np.int32), *truth]))
