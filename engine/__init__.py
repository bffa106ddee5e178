"""Scenes, rendering, judging and grouping of instance masks. Imports neither ``ui``, ``finetune`` nor ``db``."""
