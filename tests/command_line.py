"""Runs the command line in this process: what it says and how it exits is the program's own; only its start is saved."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest

from ui.cli import main


def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `maskgroup` with these arguments; an error that the program would show as a traceback is raised."""
    out, err = io.StringIO(), io.StringIO()
    line = ["maskgroup", *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as stopped:
            main()
    return subprocess.CompletedProcess(line, int(stopped.value.code or 0), out.getvalue(), err.getvalue())
