"""Runs of trainings: stages, process, registry, promotion, export."""
