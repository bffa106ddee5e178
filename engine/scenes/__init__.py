"""Scenes on disk: one registry of formats; open a folder, get an `engine.types.Scene`."""

from engine.scenes.folders import follow_links_into
from engine.scenes.registry import (
    FORMATS,
    LeftOutFolder,
    SceneFormat,
    SceneInfo,
    SceneList,
    detect_format,
    find_scene,
    list_scenes,
    open_scene,
    survey_scenes,
)

__all__ = [
    "FORMATS",
    "LeftOutFolder",
    "SceneFormat",
    "SceneInfo",
    "SceneList",
    "detect_format",
    "find_scene",
    "follow_links_into",
    "list_scenes",
    "open_scene",
    "survey_scenes",
]
