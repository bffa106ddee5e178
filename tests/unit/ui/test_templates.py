"""Names do nothing in templates, in whatever way they get there."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import ui
from tests.unit.ui.test_escape import NAMES
from ui.components.templates import Source, render_line
from ui.escape import escape

WAYS = {
    "{{ name }}": "{}",
    "<p title='{{ name }}'>x</p>": "<p title='{}'>x</p>",
    "{{ name if name else '' }}": "{}",
    "{% set kept %}<b>{{ name }}</b>{% endset %}{{ kept }}": "<b>{}</b>",
    "{% macro bold(text) %}<b>{{ text }}</b>{% endmacro %}{{ bold(name) }}": "<b>{}</b>",
    "{{ [name, name]|join(', ') }}": "{0}, {0}",
    "{{ 'of ' ~ name }}": "of {}",
    "{% for one in [name] %}{{ one }}{% endfor %}": "{}",
    "{{ {'key': name}.key }}": "{}",
}


@pytest.mark.parametrize("name", [*NAMES, "a\u202egnp.exe\u2066\x00\x1b", "Åsa 田中 نام\u200cها"])
@pytest.mark.parametrize("way", WAYS)
def test_names_are_escaped_as_everywhere_else(way: str, name: str) -> None:
    assert render_line(way, name=name) == WAYS[way].format(escape(name))


def test_html_of_a_template_goes_into_another_one_and_strings_do_not() -> None:
    piece = render_line("<b>{{ name }}</b>", name="a<b\u202e")
    assert render_line("<p>{{ piece }}</p>", piece=piece) == "<p><b>a&lt;b\ufffd</b></p>"
    assert render_line("<p>{{ piece }}</p>", piece=str(piece)) == f"<p>{html.escape(str(piece))}</p>"
    # What joins HTML with a name does not let it through uncleaned either.
    assert render_line("{{ piece ~ name }}", piece=piece, name="<i>\u202e") == "<b>a&lt;b\ufffd</b>&lt;i&gt;\ufffd"


def test_a_script_goes_into_a_page_letter_by_letter() -> None:
    script = "if (a < b) { c = '\x01\u202e'; }"
    assert render_line("<script>{{ script }}</script>", script=Source(script)) == f"<script>{script}</script>"


def test_a_name_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="nmae"):
        render_line("{{ nmae }}", name="x")


def test_no_template_switches_escaping_off() -> None:
    templates = sorted(Path(ui.__file__).parent.rglob("*.j2"))
    assert templates
    for path in templates:
        content = path.read_text(encoding="utf-8")
        assert "safe" not in content.replace("|", " ").split(), path
        assert "autoescape" not in content, path
