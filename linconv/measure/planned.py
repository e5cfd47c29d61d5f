"""Making the results of one kind that a configuration asks for and that are not there yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from linconv.catalogue.measurements import MEASUREMENTS
from linconv.config import Config
from linconv.config.errors import UserError
from linconv.results import write_result
from linconv.results.kinds import KINDS
from linconv.results.planned import read_planned
from linconv.results.provenance import hardware

log = logging.getLogger("linconv")


def measure_planned(
    name: str,
    config: Config,
    root: Path,
    *,
    device: str,
    threads: int | None,
    command: str,
    only: Sequence[str] | None = None,
    budget_seconds: float | None = None,
) -> int:
    """Make every planned result of a kind that `root` does not hold yet, the most informative first, a file each.

    Called again, it goes on with what is missing.

    Args:
        name: of the kind, in `linconv.catalogue.measurements`.
        root: the experiment's folder, results/<experiment>.
        device: "cpu" or "cuda", already reserved.
        threads: CPU threads; None leaves it to the measurement.
        command: the command line that repeats this.
        only: names of the only results to make; None makes all.
        budget_seconds: no measurement begins after that long.

    Returns:
        The number of results left for want of time.

    Raises:
        UserError: the folder holds results of another device, which cannot be compared with these.
    """
    kind, measure = KINDS[name], MEASUREMENTS[name].load()
    found, problems = read_planned(kind, config, root, readable=True)
    if MEASUREMENTS[name].alone:
        _check_machine(found.values(), root, device, threads or hardware()["cores"])
    todo = [problem.key for problem in problems if only is None or str(problem.key) in only]
    started = time.perf_counter()
    for number, key in enumerate(todo):
        spent = time.perf_counter() - started
        if budget_seconds is not None and spent >= budget_seconds:
            log.warning("the time of %.0f s is over: %d of %d left", budget_seconds, len(todo) - number, len(todo))
            return len(todo) - number
        remaining = f", about {spent / number * (len(todo) - number) / 60:.0f} min left" if number else ""
        log.info("%s %d/%d: %s%s", name, number + 1, len(todo), key, remaining)
        result = measure(config, key, device=device, threads=threads, command=command)
        write_result(root / kind.path(key), result)
    return 0


def _check_machine(results: Iterable[Any], root: Path, device: str, threads: int) -> None:
    for result in results:
        there = result.device, result.provenance.numerics.get("threads")
        if there != (device, threads):
            raise UserError(
                f"{root} holds measurements of {there[0]} with {there[1]} threads, not of {device} with {threads}; "
                "choose another folder, or delete them"
            )
