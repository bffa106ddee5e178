"""Formats in which one list has the poses and cameras of all views: transforms.json, a COLMAP model, a trajectory."""
