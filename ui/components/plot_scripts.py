"""The scripts that draw plots in the colours of the page's theme, for pages and for reports that leave the app."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
THEME_SCRIPT = (FOLDER / "plot_theme.js").read_text(encoding="utf-8")
"""Colours of the theme, light or dark."""
PLOTS_SCRIPT = THEME_SCRIPT + (FOLDER / "plots.js").read_text(encoding="utf-8")
"""Draws the plots that an element holds as JSON, and again when the theme changes."""
