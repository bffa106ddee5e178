"""Proves on one NVIDIA GPU, in one call of a few minutes, what can only be assumed without one (docs/gpu.md)."""
