"""The published sizes of Qwen3-VL, so that `doctor` can say without a download what a machine can load."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedSize:
    """A model of the hub; tests hold the counts equal to what its published configuration gives.

    Attributes:
        model: Hub id.
        values: How many numbers its weights hold.
        quantised: How many of them are stored in 4 bits if that is requested.
    """

    model: str
    values: int
    quantised: int


PUBLISHED_SIZES = (
    PublishedSize("Qwen/Qwen3-VL-2B-Instruct", 2_127_532_032, 1_409_286_144),
    PublishedSize("Qwen/Qwen3-VL-4B-Instruct", 4_437_815_808, 3_633_315_840),
    PublishedSize("Qwen/Qwen3-VL-8B-Instruct", 8_767_123_696, 6_945_767_424),
)
