"""Writes a grouping: groups.json, metrics.json, instances.ply. Knows nothing about how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.errors import MaskgroupError
from engine.grouping.explanations import Link, explain_group
from engine.grouping.instances import write_instances_ply
from engine.grouping.pipeline import GroupingRun
from engine.strict_json import to_json_text

LINKS_PER_GROUP = 10


def summarise_groups(run: GroupingRun, about: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the contents of groups.json: every mask once, every group with its evidence.

    Args:
        run: What was grouped.
        about: What else the file says: which scene it was, and how it was grouped.
    """
    grouping, keys = run.grouping, run.graph.keys
    boxes = {box.group: box for box in run.cloud.boxes} if run.cloud is not None else {}
    masks = [
        {"view": key.view, "mask": key.mask, "group": int(label), "confidence": round(float(confidence), 4)}
        for key, label, confidence in zip(keys, grouping.labels, grouping.confidences, strict=True)
    ]
    groups: list[dict[str, Any]] = []
    for group in grouping.groups:
        box = boxes.get(group.id)
        links = explain_group(run.graph, grouping, group.id, limit=LINKS_PER_GROUP) if len(group.masks) > 1 else []
        groups.append(
            {
                "id": group.id,
                "masks": len(group.masks),
                "confidence": round(group.confidence, 4),
                "best_masks": [str(key) for key in group.best_masks],
                "box": None if box is None else {"minimum": box.minimum, "maximum": box.maximum, "points": box.points},
                "links": [_as_json(link) for link in links],
            }
        )
    views = run.table.views
    return {
        **(about or {}),
        "evidence": run.options.evidence,
        "pose_error_m": round(run.registration.error_after_m, 5),
        # Where none were repaired, the poses are those of the scene's files.
        "poses": {views[index].name: pose.tolist() for index, pose in run.registration.poses.items()},
        "masks": masks,
        "groups": groups,
        "contradictions": [str(contradiction) for contradiction in grouping.contradictions],
        "undersegmented": [str(key) for key in run.undersegmented],
        "left_out": [{"view": view.name, "reason": view.reason} for view in run.left_out],
        "warnings": list(run.warnings),
    }


def _as_json(link: Link) -> dict[str, Any]:
    return {
        "a": str(link.a),
        "b": str(link.b),
        "log_odds": round(link.log_odds, 3),
        "evidence": link.evidence,
        "joined": link.joined,
    }


def summarise_metrics(run: GroupingRun) -> dict[str, Any]:
    """Return the contents of metrics.json: scores where ground truth exists, cost and what was found always."""
    count = len(run.graph.keys)
    metrics: dict[str, Any] = {
        "evidence": run.options.evidence,
        "masks": count,
        "views": len(run.table.views),
        "left_out_views": len(run.left_out),
        "groups": len(run.grouping.groups),
        "calls": run.calls,
        "calls_per_mask": round(run.calls / max(1, count), 3),
        "pose_error_before_m": round(run.registration.error_before_m, 5),
        "pose_error_after_m": round(run.registration.error_after_m, 5),
        "poses_repaired": run.registration.accepted,
        "seconds": run.seconds,
    }
    if run.mask_scores is not None:
        scores = asdict(run.mask_scores)
        scores["scored_masks"] = scores.pop("masks")
        metrics.update({name: round(value, 5) if isinstance(value, float) else value for name, value in scores.items()})
    if run.findings is not None:
        found = asdict(run.findings)
        metrics["found"] = {name: round(value, 5) if isinstance(value, float) else value for name, value in found.items()}
    if run.point_scores is not None:
        points = asdict(run.point_scores)
        metrics.update({name: round(value, 5) if isinstance(value, float) else value for name, value in points.items()})
    return metrics


def write_grouping(run: GroupingRun, folder: Path, about: Mapping[str, Any] | None = None) -> list[Path]:
    """Write groups.json, metrics.json and instances.ply (with geometry); returns what was written.

    Args:
        run: What was grouped.
        folder: Where to.
        about: As for `summarise_groups`.

    Raises:
        MaskgroupError: If the folder cannot be written.
    """
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written.append(folder / "groups.json")
        written[-1].write_text(to_json_text(summarise_groups(run, about), indent=1), encoding="utf-8")
        written.append(folder / "metrics.json")
        written[-1].write_text(to_json_text(summarise_metrics(run), indent=1), encoding="utf-8")
        if run.cloud is not None:
            written.append(folder / "instances.ply")
            write_instances_ply(run.cloud, written[-1])
    except OSError as error:
        raise MaskgroupError(
            f"{folder} cannot be written ({error}), expected a folder for results; choose another --out."
        ) from error
    return written
