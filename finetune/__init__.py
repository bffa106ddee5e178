"""Makes models: LoRA adapters from corrections and scenes, and the bundled judge. Imports `db` and `engine`, never `ui`."""
