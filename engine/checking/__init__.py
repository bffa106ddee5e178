"""Says what was found in a scene, and what looks wrong, before anything is computed from it."""
