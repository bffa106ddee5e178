"""Names do nothing in HTML, Markdown and Plotly, and read as they were typed."""

from __future__ import annotations

import html

import pytest
from markdown_it import MarkdownIt

from ui.escape import escape, escape_markdown, escape_plot

NAMES = [
    "![t](http://127.0.0.1:1/x)",
    "<img src=http://127.0.0.1:1/x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "http://127.0.0.1:1/x www.example.com a@example.com",
    "</script><script>alert(1)</script>",
    "**bold** _it_ `code` ~~gone~~ | a | b |",
    "# heading",
    "- item",
    "1. item",
    "$x^2$ \\(y\\)",
    "' onmouseover='x' \"",
    "&lt;b&gt; &amp;",
    "[^1] [ref]: http://127.0.0.1:1/x",
    "<!-- comment -->",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_become_text(name: str) -> None:
    drawn = MarkdownIt("commonmark", {"html": True}).enable("table").render(escape_markdown(name))
    assert drawn.startswith("<p>")
    assert drawn.count("<") == 2, "nothing but the paragraph"
    assert html.unescape(drawn.removeprefix("<p>").removesuffix("</p>\n")) == name
    # Toasts may be drawn as HTML.
    assert "<" not in escape_markdown(name)
    assert html.unescape(escape_markdown(name)) == name
    assert html.unescape(escape(name)) == name
    assert not set("<>\"'") & set(escape(name))
    assert not set("<>") & set(escape_plot(name))


def test_what_turns_writing_round_or_cannot_be_seen_is_marked() -> None:
    assert escape("a\u202egnp.exe\u2066\x00\x1b") == "a\ufffdgnp.exe\ufffd\ufffd\ufffd"
    assert escape_markdown("a\n\n# b\n    c") == "a &#35; b c"
    # Letters of every script, and what joins them, stay.
    assert escape_markdown("Åsa 田中 نام\u200cها 👩‍🔬") == "Åsa 田中 نام\u200cها 👩‍🔬"
