"""The published sizes of Qwen3-VL, so that `doctor` can say without a download what a machine can load."""

from __future__ import annotations

from dataclasses import dataclass

from engine.judging.shapes import ModelShape


@dataclass(frozen=True)
class PublishedSize:
    """A model of the hub; tests hold the counts equal to what its published configuration gives.

    Attributes:
        model: Hub id.
        values: How many numbers its weights hold.
        quantised: How many of them are stored in 4 bits if that is requested.
        shape: Its widths.
    """

    model: str
    values: int
    quantised: int
    shape: ModelShape


PUBLISHED_SIZES = (
    PublishedSize(
        "Qwen/Qwen3-VL-2B-Instruct",
        2_127_532_032,
        1_409_286_144,
        ModelShape(28, 2048, 6144, 16, 8, 128, 151_936, 24, 1024, 4096, 4),
    ),
    PublishedSize(
        "Qwen/Qwen3-VL-4B-Instruct",
        4_437_815_808,
        3_633_315_840,
        ModelShape(36, 2560, 9728, 32, 8, 128, 151_936, 24, 1024, 4096, 4),
    ),
    PublishedSize(
        "Qwen/Qwen3-VL-8B-Instruct",
        8_767_123_696,
        6_945_767_424,
        ModelShape(36, 4096, 12_288, 32, 8, 128, 151_936, 27, 1152, 4304, 4),
    ),
)
