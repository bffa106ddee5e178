"""The command line: registers the commands and turns domain errors into one sentence and exit code 2."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from engine.errors import MaskgroupError
from engine.version import VERSION
from ui.commands.ablation import ablation
from ui.commands.agree import agree
from ui.commands.app import app
from ui.commands.calibrate import calibrate_model
from ui.commands.check import check
from ui.commands.compare import compare
from ui.commands.doctor import doctor
from ui.commands.evaluate import evaluate
from ui.commands.export import export
from ui.commands.group import group
from ui.commands.import_scene import import_command
from ui.commands.judge import judge
from ui.commands.labels import labels
from ui.commands.names import names
from ui.commands.render import render
from ui.commands.reproduce import reproduce
from ui.commands.scenes import scenes
from ui.commands.segment import segment
from ui.commands.train import train

cli = typer.Typer(
    name="maskgroup",
    help="Decide which 2D instance masks, seen in different views, are the same physical object.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What was given cannot be read, of whatever kind; the one whose name typer exports is one of its kinds."""


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
cli.command("import")(import_command)
cli.command("check")(check)
cli.command("segment")(segment)
cli.command("render")(render)
cli.command("group")(group)
cli.command("export")(export)
cli.command("names")(names)
cli.command("judge")(judge)
cli.command("evaluate")(evaluate)
cli.command("compare")(compare)
cli.command("reproduce")(reproduce)
cli.command("agree")(agree)
cli.command("ablation")(ablation)
cli.command("calibrate")(calibrate_model)
cli.command("train")(train)
cli.command("doctor")(doctor)
cli.add_typer(labels, name="labels")


def main() -> None:
    """Run the command line; a `MaskgroupError`, or an option that is none, is printed as one sentence and exits with 2."""
    try:
        sys.exit(cli(standalone_mode=False) or 0)
    except MaskgroupError as error:
        _complain(str(error))
    except UsageError as error:
        # typer reads values with pydantic, which says of every choice that is none that it is a "value error".
        message = str(getattr(error, "format_message")()).replace(": Value error, ", ": ")  # noqa: B009
        if not message:
            # Nothing was given where a command was expected, and the help was shown.
            sys.exit(2)
        _complain(message)
    except typer.Abort:
        _complain("stopped.", code=1)


def _complain(sentence: str, *, code: int = 2) -> NoReturn:
    print(f"maskgroup: {sentence}", file=sys.stderr)
    sys.exit(code)
