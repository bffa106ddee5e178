"""Pairs of masks as pages name, link and show them. Masks go by their number in the view, as ids may give the truth away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from engine.errors import MaskError, MaskgroupError
from engine.strict_json import as_items
from engine.types import MaskKey, MaskPair
from ui.components.templates import render, render_line
from ui.services.workbench import Workbench
from ui.view3d.pictures import COLOR_A, COLOR_B

REVIEW_TAB, HISTORY_TAB = "review", "history"
"""What `?tab=` of an address calls the pages that a pair can be opened on, beside the Judge page, which needs no name."""
PICTURE_ROUTE = "/review/picture"
MAX_NUMBER, MAX_QUOTED = 1e9, 80
"""Of what came with a request: the size of a number, and the characters that an error repeats."""


def read_pair(bench: Workbench, scene: str, values: object) -> MaskPair:
    """Return the masks that [VIEW, NUMBER, VIEW, NUMBER] names.

    Raises:
        MaskError: If there are none such.
    """
    pair = find_pair(bench, scene, values)
    if pair is None:
        raise MaskError(f"{shorten(values)} names no two masks of scene {scene!r}; expected [VIEW, NUMBER, VIEW, NUMBER].")
    return pair


def find_pair(bench: Workbench, scene: str, values: object) -> MaskPair | None:
    """Return the masks that [VIEW, NUMBER, VIEW, NUMBER] names, None where one is not there.

    Raises:
        MaskError: If it names nothing at all.
    """
    listed: Sequence[object] = as_items(values)
    keys: list[MaskKey] = []
    for view, number in (listed[:2], listed[2:]) if len(listed) == 4 else ((None, None),):
        if not isinstance(view, str) or not isinstance(number, int) or isinstance(number, bool):
            raise MaskError(f"{shorten(values)} names no two masks of scene {scene!r}; expected [VIEW, NUMBER, VIEW, NUMBER].")
        mask = bench.mask_by_number(scene, view, number) if view in bench.views(scene) else None
        if mask is not None:
            keys.append(MaskKey(view, mask))
    return MaskPair(*keys) if len(keys) == 2 and keys[0] != keys[1] else None


def shorten(value: object) -> str:
    """Return what came, for a sentence about it."""
    words = ascii(value) if not isinstance(value, int) or abs(value) < MAX_NUMBER else "a number of many digits"
    return words if len(words) <= MAX_QUOTED else f"{words[:MAX_QUOTED]}…"


def pair_values(bench: Workbench, scene: str, pair: MaskPair) -> list[Any]:
    """Return a pair as [VIEW, NUMBER, VIEW, NUMBER]."""
    return [
        *(pair.a.view, bench.mask_number(scene, pair.a)),
        *(pair.b.view, bench.mask_number(scene, pair.b)),
    ]


def pair_link(bench: Workbench, scene: str, pair: MaskPair, *, tab: str | None = None) -> str:
    """Return the address that opens a pair, on the Judge page or on another one."""
    return values_link(scene, pair_values(bench, scene, pair), tab=tab)


def values_link(scene: str, values: Sequence[Any], *, tab: str | None = None) -> str:
    """Return the address that opens the pair that `pair_values` gave."""
    return pair_query(scene, (values[0], values[1]), (values[2], values[3]), tab=tab)


def pair_query(scene: str, a: tuple[str, int | None], b: tuple[str, int | None], *, tab: str | None = None) -> str:
    """Return the query string that opens two (view, number); a number may be None = no mask there."""
    sides = {"scene": scene, "a": write_place(*a), "b": write_place(*b)}
    return "?" + urlencode({"tab": tab, **sides} if tab else sides)


def write_place(view: str, number: int | None) -> str:
    """Return "VIEW:NUMBER" of an address, or "VIEW:" without a number."""
    return f"{view}:{'' if number is None else number}"


def parse_place(text: str) -> tuple[str, int | None]:
    """Split "VIEW:NUMBER" (the number may be missing) at its last colon.

    Raises:
        ValueError: If there is no colon, or the number is no whole number.
    """
    view, colon, number = text.rpartition(":")
    if not colon or not (number.isdecimal() or number == ""):
        raise ValueError(text)
    return view, int(number) if number else None


def review_link(bench: Workbench, scene: str, pair: MaskPair) -> str:
    """Return the address that opens a pair on the Review page."""
    return pair_link(bench, scene, pair, tab=REVIEW_TAB)


def picture_address(scene: str, key: MaskKey, number: int, *, kind: str, side: int) -> str:
    """Return where a mask's picture is."""
    return f"{PICTURE_ROUTE[1:]}?" + urlencode({"scene": scene, "view": key.view, "number": number, "kind": kind, "side": side})


def pictures_html(bench: Workbench, scene: str, pair: MaskPair) -> str:
    """Return both masks as HTML, crops and views, with a link that opens the pair on the Review page."""
    try:
        values = pair_values(bench, scene, pair)
    except (MaskgroupError, OSError):
        gone = f"The masks {pair.a} and {pair.b} of scene {scene} are not there now: what was said of them is stale."
        return render_line("<p>⚠ {{ gone }}</p>", gone=gone)
    pictures = [
        {
            "address": picture_address(scene, key, number, kind=kind, side=side),
            "words": f"{kind} of {str_of(key)}",
            "color": COLOR_B if side else COLOR_A,
        }
        for key, number, side in ((pair.a, values[1], 0), (pair.b, values[3], 1))
        for kind in ("crop", "view")
    ]
    return render(
        "components/pair_pictures.html.j2",
        pictures=pictures,
        review=values_link(scene, values, tab=REVIEW_TAB),
        here=values_link(scene, values, tab=HISTORY_TAB),
        scene="?" + urlencode({"tab": HISTORY_TAB, "scene": scene}),
    )


def str_of(key: MaskKey) -> str:
    """Return a mask's view in words; its id may give the truth away."""
    return f"the mask in view {key.view}"
