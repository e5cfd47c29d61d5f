"""The runs of a configuration that lack a result."""

from __future__ import annotations

from pathlib import Path

from linconv.config import Config, ResolvedRun, resolve_runs
from linconv.results.kinds.run import Runs
from linconv.results.planned import read_planned


def missing_runs(config: Config, root: Path) -> list[ResolvedRun]:
    """What would be trained below `root`, results/<experiment>: all runs but those finished or diverged."""
    runs = resolve_runs(config)
    return [runs[problem.key] for problem in read_planned(Runs(), config, root)[1] if problem.reason != "diverged"]
