"""Pieces of pages that several pages show: words, lists, scripts."""
