"""Takes a scene from elsewhere, a folder or a zip archive: copied into a new folder whole, or not at all."""

from engine.importing.run import ImportCancelled, ImportedScene, Step, import_scene

__all__ = ["ImportCancelled", "ImportedScene", "Step", "import_scene"]
