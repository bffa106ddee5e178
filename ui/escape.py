"""Makes text that people typed harmless where it becomes part of HTML or Markdown. Everything that shows a name asks here.

Names of people, scenes, views, models and runs, notes, and errors that quote any of them may hold markup: as a picture it would
make everybody's browser fetch from elsewhere, as a link or script it would do worse.
"""

from __future__ import annotations

import re

MARKUP = re.compile(r"[&<>\"'`*_{}\[\]()#+!|~:@$\\/=^.-]")
"""What means something in HTML or Markdown, bare addresses and formulas included."""
TURNING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that turn the direction of writing: what stands after them reads as something else."""
INVISIBLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
REPLACEMENT = "\ufffd"
HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


def escape(text: object) -> str:
    """Return text for HTML, between tags or within quotes."""
    return clean(str(text)).translate(HTML)


def escape_markdown(text: object) -> str:
    """Return text for Markdown, and for toasts, which are drawn as HTML or Markdown: it reads the same and does nothing.

    Every character that could mean something is written as its number, which both languages show as that character.
    """
    return MARKUP.sub(lambda found: f"&#{ord(found.group())};", " ".join(clean(str(text)).split()))


def escape_plot(text: object) -> str:
    """Return text for Plotly's titles, legends and labels, which know a few tags; of entities it knows fewer than browsers do."""
    return clean(str(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clean(text: str) -> str:
    """Return text with a mark in place of what cannot be seen and of what turns the direction of writing."""
    return INVISIBLE.sub(REPLACEMENT, TURNING.sub(REPLACEMENT, text))
