"""What pytest says at the end of a run about the tests that it did not run."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was not tested and why, so that nobody takes a skipped test for a passed one."""
    skipped: dict[str, Counter[str]] = defaultdict(Counter)
    for report in terminalreporter.stats.get("skipped", []):
        place = report.longrepr
        reason = place[2] if isinstance(place, tuple) else str(place)
        skipped[reason.removeprefix("Skipped: ")][report.nodeid.partition("::")[0]] += 1
    left_out = len(terminalreporter.stats.get("deselected", []))
    if not skipped and not left_out:
        return
    terminalreporter.section("not tested")
    for reason, files in sorted(skipped.items()):
        terminalreporter.write_line(f"{files.total()} skipped: {reason}")
        for file, count in sorted(files.items()):
            terminalreporter.write_line(f"    {count} in {file}")
    if left_out:
        terminalreporter.write_line(f"{left_out} left out by the choice of tests (-m, -k or --deselect; the long ones: make soak)")
