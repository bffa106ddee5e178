"""HTML from templates that lie beside their page. Whatever a template shows is escaped as `ui.escape` does it.

A template's name is its path from the folder `ui`, e.g. "pages/train/verdict.html.j2". What a template gave is marked as HTML, so
that it goes unchanged into another one; a plain string never does.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from ui.escape import clean, escape


class Source(Markup):
    """A script or style sheet of ours or of a package, which goes into a page letter by letter. Never a name."""


def render(name: str, /, **values: Any) -> Markup:
    """Return a template with its values as HTML.

    Args:
        name: Path of the template from the folder `ui`.
        values: What it shows; a name that it uses and that is missing is an error.
    """
    return Markup(_environment().get_template(name).render(values))


def render_line(source: str, /, **values: Any) -> Markup:
    """Return a piece of HTML that is too short for a file of its own, e.g. "<b>{{ name }}</b>", with its values."""
    return Markup(_from_source(source).render(values))


def _escaped(value: object) -> Markup:
    """Return a value as a template writes it. Jinja's own escaping leaves in what turns the direction of writing."""
    if isinstance(value, Source):
        return value
    if isinstance(value, Markup):
        return Markup(clean(value))
    return Markup(escape(value))


def _formatted(value: object, spec: str) -> str:
    """Return a value by a format of Python's, e.g. ".1%"."""
    return format(value, spec)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parents[1]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["as"] = _formatted
    environment.filters["exact"] = repr
    return environment


@lru_cache(maxsize=64)
def _from_source(source: str) -> Template:
    return _environment().from_string(source)
