"""Writes masks as annotation tools export them: CVAT's XML, Label Studio's JSON, and YOLO's text files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

NAMES = {7001: "red box", 7002: "blue box"}
"""What the tiny room's objects are called."""


def outline(mask: np.ndarray) -> list[tuple[int, int]]:
    """Corners of the outline of a mask that has one run in each of its rows, which follow each other; (x, y) of pixels' corners."""
    left: list[tuple[int, int]] = []
    right: list[tuple[int, int]] = []
    for row in np.flatnonzero(mask.any(axis=1)).tolist():
        columns = np.flatnonzero(mask[row])
        assert columns[-1] - columns[0] + 1 == len(columns)
        right += [(int(columns[-1]) + 1, row), (int(columns[-1]) + 1, row + 1)]
        left += [(int(columns[0]), row), (int(columns[0]), row + 1)]
    return [*right, *reversed(left)]


def objects_of(ids: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The objects of a view with their names."""
    return [(NAMES[int(one)], ids == one) for one in np.unique(ids[ids >= 0])]


def cvat_of(maps: Mapping[str, np.ndarray], names: Mapping[str, str], *, kind: str) -> str:
    """A file of "CVAT for images": polygons, or masks as run lengths in their boxes."""
    labels = "".join(f"<label><name>{name}</name><color>#ff0000</color></label>" for name in NAMES.values())
    images: list[str] = []
    for number, (view, ids) in enumerate(maps.items()):
        shapes = "".join(cvat_shape(name, mask, kind) for name, mask in objects_of(ids))
        images.append(
            f'<image id="{number}" name="photos/{names[view]}.png" width="{ids.shape[1]}" height="{ids.shape[0]}">{shapes}</image>'
        )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
        f"<meta><task><labels>{labels}</labels></task></meta>{''.join(images)}</annotations>\n"
    )


def cvat_shape(label: str, mask: np.ndarray, kind: str, more: str = "") -> str:
    """One shape as CVAT writes it."""
    start = f'<{kind} label="{label}" source="manual" occluded="0" z_order="0" {more}'
    if kind == "polygon":
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in outline(mask))
        return f'{start} points="{points}"></polygon>'
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    changes = np.flatnonzero(np.diff(np.concatenate([[False], inner.ravel()]).astype(int)))
    runs = np.diff([0, *changes.tolist(), inner.size]).tolist()
    box = f'left="{columns[0]}" top="{rows[0]}" width="{inner.shape[1]}" height="{inner.shape[0]}"'
    return f'{start} rle="{", ".join(map(str, runs))}" {box}></mask>'


def label_studio_of(maps: Mapping[str, np.ndarray], names: Mapping[str, str], *, kind: str) -> list[dict]:
    """Tasks as Label Studio exports them: polygons in per cent, or brushes."""
    tasks: list[dict] = []
    for number, (view, ids) in enumerate(maps.items(), start=1):
        height, width = ids.shape
        results: list[dict] = []
        for name, mask in objects_of(ids):
            value: dict = {f"{kind}labels": [name]}
            if kind == "polygon":
                value |= {"points": [[100 * x / width, 100 * y / height] for x, y in outline(mask)], "closed": True}
            else:
                value |= {"format": "rle", "rle": pack_brush(mask)}
            results.append(
                {
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "value": value,
                    "id": f"r{len(results)}",
                    "from_name": "label",
                    "to_name": "image",
                    "type": f"{kind}labels",
                }
            )
        image = f"/data/upload/3/0a1b2c3d-{names[view]}.png"
        tasks.append({"id": number, "data": {"image": image}, "annotations": [{"was_cancelled": False, "result": results}]})
    return tasks


def pack_brush(mask: np.ndarray) -> list[int]:
    """A mask as a brush: runs of equal values, and each lone value as it is; counts of 3, 4, 8 and 16 bits."""
    values = np.repeat(np.where(mask, 255, 0).ravel(), 4)
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{length - 1:04b}" for length in (3, 4, 8, 16))
    edges = np.flatnonzero(np.diff(values)) + 1
    for start, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(values)], strict=True):
        count = stop - start - 1
        which = next(k for k, length in enumerate((3, 4, 8, 16)) if count < 2**length)
        length = (3, 4, 8, 16)[which]
        if which == 0:  # few: every value is written
            bits += f"0{which:02b}{count:0{length}b}" + f"{values[start]:08b}" * (count + 1)
        else:
            bits += f"1{which:02b}{count:0{length}b}{values[start]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def yolo_of(ids: np.ndarray) -> str:
    """The text file of a view; classes are numbered from 0."""
    numbers = {name: number for number, name in enumerate(NAMES.values())}
    lines = [
        " ".join(
            [str(numbers[name]), *(f"{value:.10g}" for x, y in outline(mask) for value in (x / ids.shape[1], y / ids.shape[0]))]
        )
        for name, mask in objects_of(ids)
    ]
    return "\n".join(lines) + "\n"
