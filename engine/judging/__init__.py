"""Judges: crops of two masks in, verdicts out. `base` is the contract, `registry` finds a judge by name."""
