"""Takes a scene from elsewhere, a folder or a zip archive: copied into a new folder whole, or not at all."""

from engine.importing.imported import remove_scene
from engine.importing.kinds import Step
from engine.importing.run import ImportCancelled, ImportedScene, import_scene

__all__ = ["ImportCancelled", "ImportedScene", "Step", "import_scene", "remove_scene"]
