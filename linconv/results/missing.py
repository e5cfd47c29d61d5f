"""The runs of a configuration that lack a result, or a file that belongs to it."""

from __future__ import annotations

from pathlib import Path

from linconv.config import Config, ResolvedRun, RunKey, resolve_runs
from linconv.results.collect import unreadable_files
from linconv.results.kinds.run import Runs
from linconv.results.kinds.run_record import RunResult
from linconv.results.planned import Problem, read_planned


def missing_runs(config: Config, root: Path) -> list[ResolvedRun]:
    """What would be trained below `root`, results/<experiment>: all runs but those finished or diverged."""
    runs = resolve_runs(config)
    return [runs[key] for key in dict.fromkeys(problem.key for problem in read_runs(config, root)[1])]


def read_runs(config: Config, root: Path, *, readable: bool = False) -> tuple[dict[RunKey, RunResult], list[Problem]]:
    """The results of the runs below `root`, and what is missing of the others and of the files beside a result.

    A result of other code is one, and so is that of a run that diverged. `correlations.npz` is asked of the runs
    alone whose filters are shown.

    Args:
        readable: raise UnreadableError for a file that the system does not give, which may be good.
    """
    found, problems = read_planned(Runs(), config, root, readable=readable)
    return found, problems + unreadable_files(config, root, found, readable=readable)
