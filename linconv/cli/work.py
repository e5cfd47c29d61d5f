"""Trains what configurations still lack, within a given time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from linconv.cli.options import ResultsOption, log_to, read_config, seconds
from linconv.stopping import INTERRUPTED, deferred

app = typer.Typer()


@app.command("work")
def work(
    configs: Annotated[list[Path], typer.Argument(help="configuration files, the most important first")],
    results: ResultsOption = Path("results"),
    budget: Annotated[str | None, typer.Option(help="the time until it ends, such as 9m; none without it")] = None,
    side_by_side: Annotated[
        int | None,
        typer.Option(min=1, help="runs at the same time on a GPU; else runs_per_gpu of the first file"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or auto; by default that of the first file")] = None,
    order: Annotated[
        Literal["seed", "variant"],
        typer.Option(help="all variants of a seed before the next, or all seeds of a variant: verdicts come earlier"),
    ] = "seed",
    form: Annotated[
        Literal["auto", "weight", "feature"], typer.Option(help="exact form LinearConv trains in")
    ] = "auto",
    renew: Annotated[bool, typer.Option("--renew", help="train again what was trained by other code")] = False,
) -> None:
    """Train the runs that have no result yet, one after another, until none is left or the time is over.

    A result of other code stays as it is, unless --renew is given.

    Several workers, on one machine or on several with a common folder of results, share the runs: a run that another
    process trains is left to it. On a GPU several runs train side by side in one process. Unfinished runs leave
    checkpoints, and the same command continues them; the exit code is then 75. A run that fails leaves the others: the
    exit code is then 1.
    """
    log_to(None)
    from linconv.devices import device_slot

    settings = [read_config(path) for path in configs]
    with device_slot(device or settings[0].device) as here:
        with deferred():
            from linconv.work import OUTCOMES, Worker, find_jobs  # torch must see the device chosen above

        limit = None if budget is None else seconds(budget)
        many = side_by_side or (settings[0].runs_per_gpu if here == "cuda" else 1)
        with deferred():
            done = Worker(here, many, limit, form).work(find_jobs(configs, results, order, renew=renew))
            log = logging.getLogger("linconv")
            for name in OUTCOMES:
                log.info("%s: %d runs", name, sum(job.outcome == name for job in done))
    if any(job.outcome == "failed" for job in done):
        raise typer.Exit(1)
    if any(job.outcome in ("stopped", "no time") for job in done):
        raise typer.Exit(INTERRUPTED)
