"""Scenes on disk: one registry of formats; open a folder, get an `engine.types.Scene`."""

from engine.scenes.registry import FORMATS, SceneFormat, SceneInfo, detect_format, find_scene, list_scenes, open_scene

__all__ = ["FORMATS", "SceneFormat", "SceneInfo", "detect_format", "find_scene", "list_scenes", "open_scene"]
