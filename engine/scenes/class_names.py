"""What a scene's classes and objects are called, from the scene's own files or, in Replica's layout, from Replica's numbering.

Names are a comfort: a file of names that is broken never keeps a scene from being opened, it is noted and passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from engine.errors import SceneError
from engine.scenes.files import read_json
from engine.scenes.folders import SceneFolder, is_entry
from engine.scenes.names import fault_of, normal_form

INFO_PLACES = (("info_semantic.json",), ("habitat", "info_semantic.json"))
"""Where Replica keeps its table of classes: beside the mesh, or in the folder for Habitat."""
MAX_LENGTH = 60
INSTANCES_IN_CLASS = 1000
"""A raw id is class * 1000 + instance in Replica's layout."""

_REPLICA = """
backpack, base-cabinet, basket, bathtub, beam, beanbag, bed, bench, bike, bin, blanket, blinds, book, bottle, box, bowl, camera,
cabinet, candle, chair, chopping-board, clock, cloth, clothing, coaster, comforter, computer-keyboard, cup, cushion, curtain,
ceiling, cooktop, countertop, desk, desk-organizer, desktop-computer, door, exercise-ball, faucet, floor, handbag, hair-dryer,
handrail, indoor-plant, knife-block, kitchen-utensil, lamp, laptop, major-appliance, mat, microwave, monitor, mouse, nightstand,
pan, panel, paper-towel, phone, picture, pillar, pillow, pipe, plant-stand, plate, pot, rack, refrigerator, remote-control, scarf,
sculpture, shelf, shoe, shower-stall, sink, small-appliance, sofa, stair, stool, switch, table, table-runner, tablet, tissue-paper,
toilet, toothbrush, towel, tv-screen, tv-stand, umbrella, utensil-holder, vase, vent, wall, wall-cabinet, wall-plug, wardrobe,
window, rug, logo, bag, set-of-clothing
"""
REPLICA_CLASSES: Mapping[int, str] = {number: name.strip() for number, name in enumerate(_REPLICA.split(","), start=1)}
"""Replica's classes, numbered from 1 by the alphabet with the late additions at the end, as its info_semantic.json has them."""


@dataclass(frozen=True)
class ClassNames:
    """Names by number.

    Attributes:
        classes: By the class in a raw id (class * 1000 + instance).
        objects: By the raw id itself, where every object has a name of its own; looked up first.
        note: A sentence about a file that could not be read, "" where there is none.
    """

    classes: Mapping[int, str]
    objects: Mapping[int, str]
    note: str = ""

    def of(self, instance: int) -> str | None:
        """Return what an object with a raw id is called, None where that is unknown."""
        if instance in self.objects:
            return self.objects[instance]
        return self.classes.get(instance // INSTANCES_IN_CLASS) if instance >= INSTANCES_IN_CLASS else None


def read_class_names(root: SceneFolder, own: Mapping[int, str], *, otherwise: Mapping[int, str] | None = None) -> ClassNames:
    """Return a scene's classes: what maskgroup.json says, else its info_semantic.json, else a default.

    Args:
        root: The scene's folder.
        own: The classes of maskgroup.json; they win.
        otherwise: Used where the scene has no table of its own.
    """
    found, note = passed_over(partial(_read_table, root, otherwise or {}))
    return ClassNames({**found, **own}, {}, note)


def read_object_names(path: Path, *, offset: int = 0) -> dict[int, str]:
    """Return the label of each object of a list `segGroups`, as ScanNet and 3RScan write it.

    Args:
        path: The file.
        offset: Added to each object's number to get its raw id.

    Raises:
        SceneError: If it cannot be read.
    """
    entries: Any = read_json(path, "an object with 'segGroups'").get("segGroups")
    names: dict[int, str] = {}
    for entry in cast("list[Any]", entries) if isinstance(entries, list) else []:
        found = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        number, name = found.get("objectId"), clean_name(found.get("label"))
        if type(number) is int and name is not None:
            names[number + offset] = name
    return names


def passed_over(read: Callable[[], Mapping[int, str]]) -> tuple[Mapping[int, str], str]:
    """Return names and "", or no names and a sentence where their file cannot be read."""
    try:
        return read(), ""
    except SceneError as error:
        return {}, f"Names of objects are not shown: {error}"


def clean_name(value: object) -> str | None:
    """Return a name that can be shown on one line, cut where it is long; None where the value is none."""
    if not isinstance(value, str):
        return None
    name = normal_form(" ".join(value.split()))[:MAX_LENGTH].rstrip()
    return None if not name or fault_of(name) is not None else name


def _read_table(root: SceneFolder, otherwise: Mapping[int, str]) -> Mapping[int, str]:
    places = [parts for parts in INFO_PLACES if is_entry(root.path.joinpath(*parts))]
    return _read_info(root, places[0]) if places else otherwise


def _read_info(root: SceneFolder, parts: tuple[str, ...]) -> dict[int, str]:
    path = root.file(*parts)
    listed: Any = read_json(path, "Replica's info_semantic.json").get("classes")
    if not isinstance(listed, list):
        raise SceneError(f"{path}: found no list 'classes', expected one as Replica writes it; copy the file again.")
    names: dict[int, str] = {}
    for entry in cast("list[Any]", listed):
        found = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        number, name = found.get("id"), clean_name(found.get("name"))
        if type(number) is int and number > 0 and name is not None:
            names[number] = name
    return names
