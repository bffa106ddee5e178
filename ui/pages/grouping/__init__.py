"""The 3D grouping page."""
