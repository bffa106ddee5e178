"""Judges whose weights run in this process."""
