"""What stands in the folder of an evaluation: each name once. Knows nothing about what is in the files."""

from __future__ import annotations

PREDICTIONS = "predictions.jsonl"
"""One judged pair a line."""
SETTINGS = "settings.json"
"""What was asked for: a run that goes on must ask for the same."""
METRICS_FILE = "metrics.json"
