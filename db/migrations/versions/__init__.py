"""One file a schema version, applied in order."""
