"""The command line: registers the commands and turns domain errors into one sentence and exit code 2."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from engine.errors import MaskgroupError
from engine.version import VERSION
from ui.commands.ablation import ablation
from ui.commands.app import app
from ui.commands.calibrate import calibrate_model
from ui.commands.compare import compare
from ui.commands.doctor import doctor
from ui.commands.evaluate import evaluate
from ui.commands.group import group
from ui.commands.judge import judge
from ui.commands.labels import labels
from ui.commands.render import render
from ui.commands.scenes import scenes
from ui.commands.train import train

cli = typer.Typer(
    name="maskgroup",
    help="Decide which 2D instance masks, seen in different views, are the same physical object.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"maskgroup {VERSION}")
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Decide which 2D instance masks, seen in different views, are the same physical object."""


cli.command("app")(app)
cli.command("scenes")(scenes)
cli.command("render")(render)
cli.command("group")(group)
cli.command("judge")(judge)
cli.command("evaluate")(evaluate)
cli.command("compare")(compare)
cli.command("ablation")(ablation)
cli.command("calibrate")(calibrate_model)
cli.command("train")(train)
cli.command("doctor")(doctor)
cli.add_typer(labels, name="labels")


def main() -> None:
    """Run the command line; a `MaskgroupError` is printed as one sentence and exits with 2."""
    try:
        cli()
    except MaskgroupError as error:
        print(f"maskgroup: {error}", file=sys.stderr)
        sys.exit(2)
