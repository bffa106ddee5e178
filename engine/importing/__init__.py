"""Takes a scene from elsewhere, a folder or a zip archive, plain photos or a video: into a new folder, whole or not at all."""

from engine.importing.imported import remove_scene
from engine.importing.kinds import Step
from engine.importing.photos import import_photos, is_photos
from engine.importing.run import ImportCancelled, ImportedScene, import_scene

__all__ = ["ImportCancelled", "ImportedScene", "Step", "import_photos", "import_scene", "is_photos", "remove_scene"]
