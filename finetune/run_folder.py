"""What stands in the folder of a run, and beside the runs: each name once. Knows nothing about what is in the files."""

from __future__ import annotations

CONFIG_FILE = "config.json"
"""What the training was asked to do."""
CORRECTIONS_FILE = "corrections.json"
"""People's labels as they were when it was started."""
DATASET_FILE = "dataset.json"
SHEET_FILE = "samples.png"
EVENTS_FILE = "events.jsonl"
BEFORE, AFTER = "before", "after"
"""Folders of the frozen pairs judged by the judge to beat and by the new one, as `maskgroup evaluate` writes them."""
CHECKPOINTS = "checkpoints"
ADAPTER = "adapter"
"""Folder of the adapter, as PEFT writes it."""
VERDICT_FILE = "verdict.json"

WORKER_FILE = "worker.json"
"""Which process works on the run."""
HEARTBEAT_FILE = "heartbeat"
CANCEL_FILE = "cancel"
"""Is there once somebody asked the run to stop."""
LOG_FILE = "worker.log"

POINTER_FILE = "tuned.json"
"""Beside the runs: which of them is the tuned model."""
LOCK_FILE = ".training.lock"
"""Beside the runs: held by the one that trains."""
