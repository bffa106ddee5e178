"""Makes masks: from a view's picture, depth and camera to a map of ids, and from a scene to a copy with new masks."""
