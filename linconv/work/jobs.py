"""The runs that configurations still lack, in the order in which workers take them."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from linconv.config import Config, ResolvedRun, RunKey, load_config, resolve_runs
from linconv.models import build_model
from linconv.results.commands import shown_command
from linconv.results.missing import read_runs
from linconv.results.planned import LOG_BEGINS
from linconv.results.run_folder import finished, is_of_this_code

log = logging.getLogger("linconv")
JobOutcome = Literal["done", "failed", "stopped", "no time", "elsewhere"]
Order = Literal["seed", "variant"]
OUTCOMES: tuple[JobOutcome, ...] = ("done", "failed", "stopped", "no time", "elsewhere")


class Job(NamedTuple):
    """A run without a result, where its result goes, and the command that trains it alone.

    With `renew`, a result of other code is none.
    """

    config: Config
    run: ResolvedRun
    folder: Path
    command: str
    renew: bool = False

    def note(self, outcome: str) -> None:
        """Append what became of an attempt to the run's log, where `collect` and the report look for a reason.

        What went well is noted only after an attempt that did not.
        """
        path = self.folder.parents[len(self.run.key.path.parts) - 1] / self.run.key.log
        if outcome.startswith("error: ") or path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{LOG_BEGINS}{self.command}\n{outcome}\n")


class Done(NamedTuple):
    """What became of a job; `detail` is the error of a failed one. `elsewhere`: another process has it."""

    experiment: str
    key: RunKey
    outcome: JobOutcome
    seconds: float
    detail: str = ""


def find_jobs(configs: Sequence[Path], results: Path, order: Order = "seed", *, renew: bool = False) -> list[Job]:
    """The runs without a whole result of their configuration, file by file, in the order of `_in_order`.

    Results of other code are kept, with one line in the log.

    Args:
        renew: train these runs again too.

    Raises:
        UnreadableError: the system does not give a file, which may be good.
    """
    found = []
    for path in configs:
        config = load_config(path)
        runs = _in_order(config, order)
        done, problems = read_runs(config, results / config.experiment, readable=True)
        missing = {problem.key for problem in problems}
        other = {run.key for run in runs if run.key in done and not is_of_this_code(done[run.key], run)} - missing
        if renew:
            missing |= other
        elif other:
            log.info("%s: %d results of other code are kept; --renew trains them again", config.experiment, len(other))
        for run in runs:
            if (key := run.key) not in missing:
                continue
            where = ["--dataset", key.dataset, "--architecture", key.architecture, "--variant", key.variant]
            words = ["linconv", "train", str(path), *where, *key.options, "--results", str(results)]
            found.append(Job(config, run, results / config.experiment / key.path, shown_command(words), renew))
    return found


def _in_order(config: Config, order: Order) -> list[ResolvedRun]:
    """The runs by data set and network, as listed, and in these all variants of a split and seed before the next.

    With order "variant" all seeds of a variant come before the next variant.
    """
    runs = list(resolve_runs(config).values())  # by data set, network and variant
    if order == "variant":
        return runs
    datasets = {name: i for i, name in enumerate(config.datasets)}
    architectures = {name: i for i, name in enumerate(config.architectures)}

    def place(run: ResolvedRun) -> tuple[int, int, int, int]:
        return datasets[run.dataset], architectures[run.architecture], run.split, run.seed

    return sorted(runs, key=place)


def is_done(job: Job) -> bool:
    """Whether the job's result is there, whole and of its configuration; with `renew`, also of this code."""
    return finished(job.folder, job.run, other_code=not job.renew) is not None


def groups(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Consecutive jobs that may run side by side: the same settings of the process; networks with dropout alone."""
    group: list[Job] = []
    for job in jobs:
        if group and (_settings(job) != _settings(group[-1]) or has_dropout(job.run)):
            yield group
            group = []
        group.append(job)
    if group:
        yield group


def _settings(job: Job) -> tuple[Any, ...]:
    return (job.run.recipe.precision, job.config.threads, job.config.deterministic, has_dropout(job.run))


def has_dropout(run: ResolvedRun) -> bool:
    """Whether the network draws from the device's generator, which runs side by side would share."""
    return _has_dropout(run.architecture)


@functools.cache
def _has_dropout(architecture: str) -> bool:
    with torch.device("meta"):
        network = build_model(architecture)
    return any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0 for module in network.modules())
