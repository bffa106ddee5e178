"""Proves what a GPU does with maskgroup: `python -m tests.gpu.prove --pack FOLDER --out FOLDER`, on a machine with an NVIDIA GPU.

Each step is a process with its own time limit. Prints one line of JSON for each, then a table. Exit code 1 if a step failed. Where
there is no GPU every step is skipped; `--tiny` runs them at the smallest sizes on the CPU, to see that they run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.strict_json import to_json_text
from tests.gpu.step import Step
from tests.gpu.steps import STEPS
from tests.hidden_gpu import HIDING

ROOT = Path(__file__).parents[2]
LIMIT_S = 480.0
LEAST_S = 5.0
"""A step that has less time left is not begun."""
GRACE_S = 5.0
"""Seconds between asking a late step to stop and ending it."""
RESULTS = "prove.jsonl"
SHOWN_LINES = 15
"""Lines that a failed step printed last, shown on the error stream."""


@dataclass(frozen=True)
class Outcome:
    """What came of a step; `seconds` include the start of its process."""

    step: str
    status: Literal["ok", "failed", "skipped"]
    reason: str | None
    seconds: float
    figures: Mapping[str, Any] = field(default_factory=dict)


def run(step: Step, *, limit_s: float, tiny: bool, pack: Path | None, log: Path) -> Outcome:
    """Run a step in a process of its own; whatever it started is ended with it.

    Args:
        step: The step.
        limit_s: Seconds that it may take.
        tiny: Smallest sizes, with the GPU hidden.
        pack: What `tests.gpu.pack` prepared.
        log: Where all that it prints goes.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="maskgroup-prove-") as temporary, log.open("wb") as output:
        folder, result = Path(temporary) / "files", Path(temporary) / "result.json"
        folder.mkdir()
        command = [sys.executable, "-m", "tests.gpu.run_step", step.target, "--folder", str(folder), "--result", str(result)]
        command += ["--tiny"] if tiny else []
        command += ["--pack", str(pack.resolve())] if pack is not None else []
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", **(HIDING if tiny else {})}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        is_late = False
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            is_late = True
        finally:
            _end(process)
        seconds = round(time.monotonic() - started, 1)
        if is_late:
            return Outcome(step.name, "failed", f"not done within its limit of {limit_s:.0f} s, ended", seconds)
        if not result.is_file():
            return Outcome(step.name, "failed", _say_why(process.returncode, log), seconds)
        content = json.loads(result.read_text(encoding="utf-8"))
        return Outcome(step.name, content["status"], content["reason"], seconds, content["figures"])


def prove(steps: Sequence[Step], *, limit_s: float, tiny: bool, pack: Path | None, out: Path | None, logs: Path) -> list[Outcome]:
    """Run steps one after the other and print a line of JSON for each; once the time is up, the others are skipped."""
    ends = time.monotonic() + limit_s
    outcomes: list[Outcome] = []
    for step in steps:
        left = ends - time.monotonic()
        if left < LEAST_S:
            outcome = Outcome(step.name, "skipped", f"no time left of the {limit_s:.0f} s for all steps", 0.0)
        else:
            log = logs / f"{step.name}.log"
            outcome = run(step, limit_s=min(step.limit_s, left), tiny=tiny, pack=pack, log=log)
            if outcome.status == "failed":
                print("\n".join(f"{step.name}: {line}" for line in _last_lines(log, SHOWN_LINES)), file=sys.stderr, flush=True)
        outcomes.append(outcome)
        line = to_json_text(asdict(outcome))
        print(line, flush=True)
        if out is not None:
            with (out / RESULTS).open("a", encoding="utf-8") as stream:
                stream.write(f"{line}\n")
    return outcomes


def make_table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a Markdown table, a row for each step."""
    rows = ["| step | result | s | figures |", "|---|---|---|---|"]
    for outcome in outcomes:
        words = outcome.reason or "; ".join(f"{name} {_short(value)}" for name, value in outcome.figures.items())
        escaped = words.replace("|", "\\|")
        rows.append(f"| {outcome.step} | {outcome.status} | {outcome.seconds:.1f} | {escaped} |")
    return "\n".join(rows)


def main(given: Sequence[str] | None = None, *, steps: Sequence[Step] = STEPS) -> None:
    """Run what was asked for; exit code 1 if a step failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.prove", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, on the CPU: shows only that the steps run")
    shown = "; ".join(f"{step.name}: {step.shows}" for step in steps)
    parser.add_argument(
        "--only", action="append", choices=[step.name for step in steps], help=f"run this step; repeatable. {shown}"
    )
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="seconds for all steps together")
    parser.add_argument("--pack", type=Path, help="the folder that python -m tests.gpu.pack made; not used with --tiny")
    parser.add_argument("--out", type=Path, help=f"a folder for {RESULTS} and what each step printed")
    arguments = parser.parse_args(given)
    if arguments.pack is not None and not arguments.pack.is_dir():
        parser.error(f"{arguments.pack} is no folder; make it with python -m tests.gpu.pack")
    chosen = [step for step in steps if arguments.only is None or step.name in arguments.only]
    with tempfile.TemporaryDirectory(prefix="maskgroup-logs-") as temporary:
        logs = Path(temporary)
        if arguments.out is not None:
            logs = arguments.out
            logs.mkdir(parents=True, exist_ok=True)
            (logs / RESULTS).unlink(missing_ok=True)
        outcomes = prove(
            chosen,
            limit_s=arguments.limit_s,
            tiny=arguments.tiny,
            pack=None if arguments.tiny else arguments.pack,
            out=arguments.out,
            logs=logs,
        )
    print(f"\n{make_table(outcomes)}")
    sys.exit(int(any(outcome.status == "failed" for outcome in outcomes)))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a step's process group: its own children as well, such as a server."""
    # A training that is interrupted stops its worker, which is in a group of its own.
    for number, wait_s in ((signal.SIGINT, GRACE_S), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)


def _say_why(code: int, log: Path) -> str:
    lines = _last_lines(log, 1)
    return f"ended with exit code {code}: {lines[0] if lines else 'it printed nothing'}"


def _last_lines(log: Path, count: int) -> list[str]:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-count:]


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "-" if value is None else str(value)


if __name__ == "__main__":
    main()
