"""Everything worth measuring on a borrowed machine, the most telling first, within a given time.

Each step is a command of its own, whose result files are whole or absent. A second session in the same folder
continues: what has its result is not done again, and a training goes on after its last epoch.
"""

from __future__ import annotations

import itertools
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel

from linconv.config import Config, RunKey, load_config, parse_config, plan_runs, resolve_run
from linconv.config.throughput import plan_throughput
from linconv.results import ResultError, RunResult, read_result, write_result, write_text
from linconv.results.correctness import CorrectnessResult
from linconv.results.throughput import read_cells, throughput_hash

log = logging.getLogger("linconv")
PROGRAM = (sys.executable, "-m", "linconv.cli")
INTERRUPTED = 75
GRACE_SECONDS = 45.0  # for a training to finish its step and save, once it is asked to stop
THROUGHPUT_SHARE = 0.5  # of the time; what the timings leave goes to trainings
Outcome = Literal["done", "already there", "failed", "stopped", "no time"]


class Step(NamedTuple):
    """A command (after `linconv`), and the longest it may take in seconds (None: all that is left)."""

    name: str
    arguments: tuple[str, ...]
    seconds: float | None = None


class StepReport(BaseModel):
    """What became of a step; `detail` is the last line it wrote, where it failed."""

    name: str
    command: str
    outcome: Outcome
    seconds: float = 0.0
    detail: str = ""


class SessionReport(BaseModel):
    """All steps of the last session in a folder."""

    budget_seconds: float
    device: str
    steps: list[StepReport]


def run_session(config: Path, output: Path, *, device: str, budget_seconds: float) -> SessionReport:
    """Do as many steps as the time allows; every result goes below `output`, and a report to session.json there.

    In order: every form checked on the device, short trainings at each precision, timings, trainings with the
    fewest multiply-accumulates first.

    Args:
        config: an experiment with `throughput`; its runs are the trainings.
        output: the folder of results.
        device: "cpu" or "cuda".
        budget_seconds: the time until everything has ended.
    """
    started = time.monotonic()
    settings = load_config(config).model_copy(update={"device": device})
    output.mkdir(parents=True, exist_ok=True)
    report = SessionReport(budget_seconds=budget_seconds, device=device, steps=[])
    for step in _steps(settings, output, device, budget_seconds):
        left = budget_seconds - (time.monotonic() - started)
        command = " ".join(("linconv", *step.arguments))
        if _is_done(step, settings, output):
            found = StepReport(name=step.name, command=command, outcome="already there")
        elif left <= GRACE_SECONDS:
            found = StepReport(name=step.name, command=command, outcome="no time")
        else:
            log.info("%s (%.0f s left)", step.name, left)
            found = _perform(step, command, min(step.seconds or left, left) - GRACE_SECONDS)
            log.info("%s: %s after %.0f s %s", step.name, found.outcome, found.seconds, found.detail)
        report.steps.append(found)
        write_result(output / "session.json", report)
    return report


def _steps(settings: Config, output: Path, device: str, budget_seconds: float) -> Iterator[Step]:
    main = _write(settings, output)
    yield Step(
        "correctness", ("measure", "correctness", "--device", device, "--output", str(output / "correctness.json"))
    )
    for name, smoke in _smoke(device):
        (key,) = plan_runs(smoke)
        yield Step(f"training smoke, {name}", _train(_write(smoke, output), key, output))
    if settings.throughput is not None:
        seconds = THROUGHPUT_SHARE * budget_seconds
        limit = f"{max(1.0, seconds - 2 * GRACE_SECONDS):.0f}s"
        arguments = ("measure", "throughput", "--config", str(main), "--results", str(output), "--budget", limit)
        yield Step("throughput", arguments, seconds + settings.throughput.cell_seconds)
    for key in _cheapest_first(settings):
        yield Step(str(key), _train(main, key, output))


def _smoke(device: str) -> Iterator[tuple[str, Config]]:
    """One short training per precision, on CUDA with and without graphs."""
    for precision, graph in itertools.product(("fp32", "tf32", "bf16", "fp16"), (False, True)):
        if device != "cuda" and (graph or precision == "fp16"):
            continue
        name = f"{precision}{', CUDA graph' if graph else ''}"
        raw: dict[str, Any] = {
            "experiment": f"smoke-{precision}{'-graph' if graph else ''}",
            **{"datasets": ["synthetic"], "architectures": ["base"], "variants": ["Lr"], "seeds": [0]},
            "recipe": {"overrides": [{"set": {"epochs": 3, "precision": precision}}]},
            **{"device": device, "cuda_graph": graph},
        }
        yield name, parse_config(raw, name)


def _write(settings: Config, output: Path) -> Path:
    """The configuration as a file in its results' folder."""
    path = output / settings.experiment / "config.yaml"
    write_text(path, yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True), sort_keys=False))
    return path


def _train(config: Path, key: RunKey, output: Path) -> tuple[str, ...]:
    where = ("--dataset", key.dataset, "--architecture", key.architecture, "--variant", key.variant)
    log_file = output / config.parent.name / key.log
    return ("train", str(config), *where, "--seed", str(key.seed), "--results", str(output), "--log", str(log_file))


def _cheapest_first(settings: Config) -> list[RunKey]:
    """The runs by epochs and the network's multiply-accumulates, all variants of a network and seed together."""
    from linconv.measure.complexity import complexity
    from linconv.models import build_model

    macs = {a: complexity(build_model(a), (3, 32, 32)).macs_folded for a in settings.architectures}

    def cost(key: RunKey) -> tuple[float, str, str, int]:
        epochs = resolve_run(settings, key).recipe.epochs
        return epochs * macs[key.architecture], key.dataset, key.architecture, key.seed

    return sorted(plan_runs(settings), key=cost)


def _is_done(step: Step, settings: Config, output: Path) -> bool:
    """Whether the step's results are there and belong to the configuration."""
    if step.arguments[0] == "train":
        config = load_config(step.arguments[1])
        at = dict(zip(step.arguments[2::2], step.arguments[3::2], strict=True))
        key = RunKey(at["--dataset"], at["--architecture"], at["--variant"], int(at["--seed"]))
        try:
            result = read_result(output / config.experiment / key.path / "result.json", RunResult)
        except ResultError:
            return False
        return result.config_hash == resolve_run(config, key).hash
    if step.name == "throughput" and settings.throughput is not None:
        names = [key.name for key in plan_throughput(settings.throughput)]
        grid = throughput_hash(settings.throughput, settings.known_variants)
        found, missing = read_cells(output / settings.experiment / "throughput", names, grid)
        return not missing and all(cell.device == settings.device for cell in found)
    try:
        checked = read_result(output / "correctness.json", CorrectnessResult)
    except ResultError:
        return False
    return checked.device == settings.device and not checked.failed


def _perform(step: Step, command: str, seconds: float) -> StepReport:
    """Run a step; when its time is over it is asked to stop, and killed where it does not."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*PROGRAM, *step.arguments],
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
    outcome: Outcome = "done" if process.returncode == 0 else "failed"
    if process.returncode and (stopped or process.returncode == INTERRUPTED):
        outcome = "stopped"
    if "--log" in step.arguments and (written := Path(step.arguments[step.arguments.index("--log") + 1])).exists():
        text = written.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    named = [line for line in lines if "error: " in line] or lines  # a message may go on over several lines
    detail = named[-1][-300:] if named and outcome != "done" else ""
    return StepReport(
        name=step.name,
        command=command,
        outcome=outcome,
        seconds=round(time.monotonic() - began, 1),
        detail=detail,
    )
