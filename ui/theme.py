"""The look of the app: Gradio's default theme, with text dark enough for everybody to read (4.5:1, as WCAG 2 AA asks)."""

from __future__ import annotations

from gradio.themes import Base, Default


def make_theme() -> Base:
    """Return the theme; no font is fetched from the internet."""
    # Strings are names of fonts of the machine.
    theme = Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return theme.set(  # pyright: ignore[reportUnknownMemberType]  # gradio: partial types
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        button_cancel_background_fill="#b91c1c",
        button_cancel_background_fill_hover="#991b1b",
        body_text_color_subdued="*neutral_600",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )
