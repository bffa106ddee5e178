"""Two judges on the same pairs and scenes, compared."""
