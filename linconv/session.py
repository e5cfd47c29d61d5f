"""Everything worth measuring on a borrowed machine, the most informative first, within a given time.

Each step is a command of its own, whose result files are whole or absent. A second session in the same folder
continues: what has its result is not done again, and a training goes on after its last epoch.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel

from linconv.config import Config, load_config
from linconv.config.writing import config_text
from linconv.results import ResultError, read_result, write_result, write_text
from linconv.results.kinds import KINDS
from linconv.results.kinds.correctness import CorrectnessResult
from linconv.results.planned import read_planned
from linconv.stopping import INTERRUPTED

log = logging.getLogger("linconv")
PROGRAM = (sys.executable, "-m", "linconv.cli")
GRACE_SECONDS = 45.0  # for a training to finish its step and save, once it is asked to stop
CORRECTNESS_SECONDS = 120.0
THROUGHPUT_SHARE = 0.3  # of the time; what the timings leave goes to trainings
SIDE_BY_SIDE = 6  # small networks fill an H200 at six: base trains 1.7 times as many images a second as alone
StepOutcome = Literal["done", "already there", "failed", "stopped", "no time"]


class Step(NamedTuple):
    """A command (after `linconv`), and the longest it may take in seconds (None: all that is left).

    `takes_rest`: the command is told how much is left, by --budget.
    """

    name: str
    arguments: tuple[str, ...]
    seconds: float | None = None
    takes_rest: bool = False


class StepReport(BaseModel):
    """What became of a step; `detail` is the last line it wrote, where it failed."""

    name: str
    command: str
    outcome: StepOutcome
    seconds: float = 0.0
    detail: str = ""


class SessionReport(BaseModel):
    """All steps of the last session in a folder."""

    budget_seconds: float
    device: str
    steps: list[StepReport]


def run_session(
    config: Path,
    trainings: Sequence[Path],
    output: Path,
    *,
    device: str,
    budget_seconds: float,
    side_by_side: int = SIDE_BY_SIDE,
) -> SessionReport:
    """Do as many steps as the time allows; every result goes below `output`, and a report to session.json there.

    In order: every form and method checked on the device, timings, and with the time that is left the trainings, by
    one worker.

    Args:
        config: an experiment with `throughput`, which says what is timed.
        trainings: configurations whose runs are trained, the most important first.
        output: the folder of results.
        device: "cpu" or "cuda".
        budget_seconds: the time until everything has ended.
        side_by_side: runs at the same time on a GPU.
    """
    started = time.monotonic()
    settings = load_config(config).model_copy(update={"device": device})
    output.mkdir(parents=True, exist_ok=True)
    report = SessionReport(budget_seconds=budget_seconds, device=device, steps=[])
    for step in plan_session(settings, trainings, output, device, budget_seconds, side_by_side):
        left = budget_seconds - (time.monotonic() - started)
        arguments = (
            (*step.arguments, "--budget", f"{left - 2 * GRACE_SECONDS:.0f}s") if step.takes_rest else step.arguments
        )
        command = " ".join(("linconv", *arguments))
        if _is_done(step, settings, output):
            found = StepReport(name=step.name, command=command, outcome="already there")
        elif left <= 2 * GRACE_SECONDS:
            found = StepReport(name=step.name, command=command, outcome="no time")
        else:
            log.info("%s (%.0f s left)", step.name, left)
            found = _perform(arguments, step.name, command, min(step.seconds or left, left) - GRACE_SECONDS)
            log.info("%s: %s after %.0f s %s", step.name, found.outcome, found.seconds, found.detail)
        report.steps.append(found)
        write_result(output / "session.json", report)
    return report


def plan_session(
    settings: Config,
    trainings: Sequence[Path],
    output: Path,
    device: str,
    budget_seconds: float,
    side_by_side: int = SIDE_BY_SIDE,
) -> list[Step]:
    """The steps of a session, the most informative first."""
    main = output / settings.experiment / "config.yaml"
    write_text(main, config_text(settings))
    check = ("measure", "correctness", "--device", device, "--output", str(output / "correctness.json"))
    steps = [Step("correctness", check, CORRECTNESS_SECONDS)]
    if settings.throughput is not None:
        seconds = THROUGHPUT_SHARE * budget_seconds
        limit = f"{max(1.0, seconds - 2 * GRACE_SECONDS):.0f}s"
        arguments = ("measure", "throughput", "--config", str(main), "--results", str(output), "--budget", limit)
        steps.append(Step("throughput", arguments, seconds + settings.throughput.cell_seconds))
    if trainings:
        where = ("--results", str(output), "--device", device)
        many = ("--side-by-side", str(side_by_side if device == "cuda" else 1))
        steps.append(Step("trainings", ("work", *map(str, trainings), *where, *many), takes_rest=True))
    return steps


def _is_done(step: Step, settings: Config, output: Path) -> bool:
    """Whether the step's results are there and belong to the configuration; the worker finds out on its own."""
    if step.name == "throughput" and settings.throughput is not None:
        found, missing = read_planned(KINDS["throughput"], settings, output / settings.experiment)
        return not missing and all(cell.device == settings.device for cell in found.values())
    if step.name == "correctness":
        try:
            checked = read_result(output / "correctness.json", CorrectnessResult)
        except ResultError:
            return False
        return checked.device == settings.device and not checked.failed
    return False


def _perform(arguments: Sequence[str], name: str, command: str, seconds: float) -> StepReport:
    """Run a step; when its time is over it is asked to stop, and killed where it does not."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    stopped = False
    try:
        text, _ = process.communicate(timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        stopped = True
        process.send_signal(signal.SIGTERM)
        try:
            text, _ = process.communicate(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            text, _ = process.communicate()
    outcome: StepOutcome = "done" if process.returncode == 0 else "failed"
    if process.returncode and (stopped or process.returncode == INTERRUPTED):
        outcome = "stopped"
    lines = [line for line in text.splitlines() if line.strip()]
    named = [line for line in lines if "error: " in line] or lines  # a message may go on over several lines
    detail = named[-1][-300:] if named and outcome != "done" else ""
    return StepReport(
        name=name,
        command=command,
        outcome=outcome,
        seconds=round(time.monotonic() - began, 1),
        detail=detail,
    )
