"""`maskgroup compare`: two evaluations of the same pairs, base against tuned for instance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.evaluation.comparison.paired import ALL, SceneComparison, compare_folders, to_report, trained_models
from engine.evaluation.metrics import METRICS
from engine.strict_json import to_json_text


def compare(
    dir_a: Annotated[Path, typer.Argument(help="Results of the first run: what evaluate wrote, or the original's.")],
    dir_b: Annotated[Path, typer.Argument(help="Results of the second run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every flipped pair.")] = False,
) -> None:
    """Show what changed from A to B, pair by pair: differences with 95 % intervals, McNemar's test, flips."""
    found = compare_folders(dir_a, dir_b)
    if as_json:
        typer.echo(to_json_text([to_report(comparison) for comparison in found], indent=2))
        return
    typer.echo("\n\n".join(in_words(comparison) for comparison in found))


def in_words(comparison: SceneComparison) -> str:
    """Return a comparison as a small table; metrics that either run lacks are left out."""
    left_out = comparison.only_a + comparison.only_b
    note = f", {left_out} judged by one run only left out" if left_out else ""
    lines = [f"{comparison.scene}: {comparison.pairs} pairs{note}", f"  {'':<24} {'A':>6} {'B':>6}  B - A [95 %]"]
    for name in METRICS:
        metric = comparison.metrics[name]
        change = metric.difference
        if metric.a is None or metric.b is None or change.value is None:
            continue
        spread = "" if change.low is None or change.high is None else f" [{change.low:+.3f}, {change.high:+.3f}]"
        lines.append(f"  {name:<24} {metric.a:6.3f} {metric.b:6.3f}  {change.value:+.3f}{spread}")
    for side in trained_models(comparison, "A", "B"):
        lines.append(
            f"  {side} was trained on {'one of these scenes' if comparison.scene == ALL else 'this scene'}: its figures flatter it"
        )
    test = comparison.mcnemar
    lines.append(f"  fixed {test.fixed}, broken {test.broken}, both wrong {len(comparison.both_wrong)}")
    lines.append(f"  McNemar ({test.method}): p = {test.p_value:.3g}")
    return "\n".join(lines)
