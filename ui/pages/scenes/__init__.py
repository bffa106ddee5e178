"""The Scenes page: brings scenes in, shows which there are and what was found in them, renames and removes imported ones."""
