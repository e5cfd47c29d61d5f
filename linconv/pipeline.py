"""All stages of an experiment without Snakemake: each is a command in a process of its own, and what is there is left.

In order: the runs, by workers that share them; every kind of measurement that the configuration asks for; collecting;
rendering. A second call does what is missing, and nothing where nothing is.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from linconv.catalogue.measurements import MEASUREMENTS
from linconv.config import Config, plan_runs
from linconv.config.runs import digest
from linconv.config.writing import config_text
from linconv.results import write_text
from linconv.results.code import code_hash
from linconv.results.kinds import KINDS
from linconv.results.missing import read_runs
from linconv.results.outcomes import FILE as OUTCOMES
from linconv.results.planned import Problem, read_planned
from linconv.results.run_folder import CORRELATIONS
from linconv.stopping import INTERRUPTED

log = logging.getLogger("linconv")
PROGRAM = (sys.executable, "-m", "linconv.cli")
RENDERED = ".rendered"  # in an experiment's folder: what the tables, figures and page there were made of
_MADE = ("report.html", "claims.md", "data/*", "tables/*", "figures/*")  # by collecting and rendering
FAILED = 1
_GRACE_SECONDS = 600.0  # for processes to end the step or the epoch in progress


class Missing(NamedTuple):
    """What an experiment's folder lacks, by kind of result."""

    problems: dict[str, list[Problem]]

    @property
    def runs(self) -> int:
        """The number of runs without a usable result, or without a file that belongs to it."""
        return len({problem.key for problem in self.problems["run"]})

    @property
    def measurements(self) -> list[str]:
        """The kinds of measurements of which a result is missing."""
        return [name for name, found in self.problems.items() if found and name != "run"]

    @property
    def lines(self) -> list[str]:
        """One line for each result that is missing."""
        return [f"{p.kind} {p.key}: {p.reason}, {p.detail}" for found in self.problems.values() for p in found]


def find_missing(settings: Config, root: Path) -> Missing:
    """The planned results below `root`, results/<experiment>, that are not there or cannot be used.

    A run that diverged has its result, and so has one of other code. What lies beside a run's result counts too.
    """
    return Missing(
        {
            name: read_runs(settings, root)[1] if name == "run" else read_planned(kind, settings, root)[1]
            for name, kind in KINDS.items()
        }
    )


def run_pipeline(
    settings: Config, results: Path, *, jobs: int | None = None, budget_seconds: float | None = None
) -> int:
    """Make what `results`/<experiment> lacks, and render all of it.

    Args:
        jobs: runs at the same time; None takes as many as the configuration's threads leave room for on a CPU, and
            `runs_per_gpu` on a GPU.
        budget_seconds: no stage begins, and no training goes on, after that time; None for no limit.

    Returns:
        0 where everything is there, 1 where something failed and the rest is rendered, 75 where a signal or the budget
        ended it: the same call continues it.
    """
    began = time.monotonic()
    root = results / settings.experiment
    config = root / "config.yaml"
    settings.export_data_root()
    text = config_text(settings)
    if not config.exists() or config.read_text(encoding="utf-8") != text:
        write_text(config, text)
    missing = find_missing(settings, root)
    stopped = False
    for name, commands in _stages(settings, config, results, missing, jobs):
        left = None if budget_seconds is None else budget_seconds - (time.monotonic() - began)
        if stopped or (left is not None and left <= 0):
            stopped = True
            break
        log.info("%s: %s missing", name, len({problem.key for problem in missing.problems[name]}))
        limit = () if left is None or not MEASUREMENTS[name].limited else ("--budget", f"{left:.0f}s")
        codes = _run_together([(*command, *limit) for command in commands])
        # a worker that found nothing but runs of other workers may say that it was stopped
        stopped = INTERRUPTED in codes and bool(find_missing(settings, root).problems[name])
    return _finish(settings, config, results, stopped)


def _stages(
    settings: Config, config: Path, results: Path, missing: Missing, jobs: int | None
) -> list[tuple[str, list[tuple[str, ...]]]]:
    """The commands that make what is missing, those of a stage side by side."""
    where = ("--results", str(results))
    stages: list[tuple[str, list[tuple[str, ...]]]] = []
    if missing.runs:
        on_gpu = _has_gpu(settings)
        many = jobs or (settings.runs_per_gpu if on_gpu else max(1, cores() // settings.threads))
        many = min(many, missing.runs)
        device = ("--device", "cuda" if on_gpu else "cpu")
        work = ("work", str(config), *where, *device)
        stages.append(("run", [(*work, "--side-by-side", str(many))] if on_gpu else [work] * many))
    for name in MEASUREMENTS:
        if name in missing.measurements:
            stages.append((name, [("measure", name, "--config", str(config), *where)]))
    return stages


def _finish(settings: Config, config: Path, results: Path, stopped: bool) -> int:
    """Collect and render what is there, unless that is done already; the exit code of all."""
    root = results / settings.experiment
    missing = find_missing(settings, root)
    for line in missing.lines:
        log.warning("%s", line)
    state = _state(settings, root, missing)
    marker = root / RENDERED
    if not marker.exists() or marker.read_text(encoding="utf-8") != state:
        partial = ("--partial",) if missing.lines else ()
        for command in (("collect", str(config), "--results", str(results), *partial), ("render", "all", str(root))):
            (code,) = _run_together([command])
            if code:
                return code
        write_text(marker, _state(settings, root, missing))
    log.info("%s", root / "report.html")
    if stopped:
        return INTERRUPTED
    return FAILED if missing.lines else 0


def _state(settings: Config, root: Path, missing: Missing) -> str:
    """What decides the rendered files: the configuration, the code, what is missing, result files by time and size.

    And these files themselves, so that they are made again where one is gone or another.
    """
    results = [kind.path(key) for kind in KINDS.values() for key in kind.plan(settings)]
    results += [key.path / name for key in plan_runs(settings) for name in (OUTCOMES, CORRELATIONS)]
    made = [path for name in _MADE for path in root.glob(name)]
    states = {path: path.stat() for path in (*(root / name for name in results), *sorted(made)) if path.is_file()}
    files = {path.relative_to(root).as_posix(): [s.st_mtime_ns, s.st_size] for path, s in states.items()}
    shown = settings.model_dump(mode="json")
    return (
        digest(
            {
                "config": shown,
                "code": [code_hash("collect"), code_hash("report")],
                "files": files,
                "missing": missing.lines,
            }
        )
        + "\n"
    )


def _run_together(commands: Sequence[tuple[str, ...]]) -> list[int]:
    """Run commands of `linconv` side by side to their ends, and return their exit codes.

    A signal that ends this process asks each of them once to stop: they are in a process group of their own, since a
    second signal, that of the terminal, would end them at once.
    """
    apart = {} if sys.platform == "win32" else {"process_group": 0}
    processes = [
        subprocess.Popen([*PROGRAM, *command], stdout=subprocess.DEVNULL, **apart)  # type: ignore[call-overload]
        for command in commands
    ]
    try:
        return [process.wait() for process in processes]
    except BaseException:  # Ctrl-C and SIGTERM too
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            process.wait(_GRACE_SECONDS)
        raise


def _has_gpu(settings: Config) -> bool:
    from linconv.devices import DeviceError, visible_gpus

    if settings.device == "cpu":
        return False
    found = bool(visible_gpus())
    if settings.device == "cuda" and not found:
        raise DeviceError("device 'cuda' was asked for, but no CUDA device is visible; use 'auto' or 'cpu'")
    return found


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
