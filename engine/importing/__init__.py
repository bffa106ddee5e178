"""Takes a scene from elsewhere, a folder or a zip archive, plain photos or a video: into a new folder, whole or not at all."""

from engine.importing.imported import remove_scene
from engine.importing.run import ImportedScene, import_scene
from engine.importing.work import ImportCancelled, Step

__all__ = ["ImportCancelled", "ImportedScene", "Step", "import_scene", "remove_scene"]
