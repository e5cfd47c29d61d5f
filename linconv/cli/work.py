"""Trains what configurations still lack, within a given time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from linconv.cli.options import Results, log_to, seconds
from linconv.stopping import INTERRUPTED, deferred

app = typer.Typer()


@app.command("work")
def work(
    configs: Annotated[list[Path], typer.Argument(help="configuration files, the most important first")],
    results: Results = Path("results"),
    budget: Annotated[str | None, typer.Option(help="the time until it ends, such as 9m; none without it")] = None,
    side_by_side: Annotated[int, typer.Option(min=1, help="runs at the same time on a GPU")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "auto",
    form: Annotated[str, typer.Option(help="exact form LinearConv trains in: auto, weight or feature")] = "auto",
) -> None:
    """Train the runs that have no result yet, one after another, until none is left or the time is over.

    On a GPU several runs train side by side in one process. Unfinished runs leave checkpoints, and the same command
    continues them; the exit code is then 75. A run that fails leaves the others: the exit code is then 1.
    """
    log_to(None)
    from linconv.devices import device_slot

    with device_slot(device) as here:
        with deferred():
            from linconv.work import Worker, find_jobs  # torch must see the device chosen above

        limit = None if budget is None else seconds(budget)
        worker = Worker(here, side_by_side, limit, form)
        with deferred():
            done = worker.work(find_jobs(configs, results))
            log = logging.getLogger("linconv")
            for name in ("done", "failed", "stopped", "no time"):
                log.info("%s: %d runs", name, sum(job.outcome == name for job in done))
    if any(job.outcome == "failed" for job in done):
        raise typer.Exit(1)
    if any(job.outcome in ("stopped", "no time") for job in done):
        raise typer.Exit(INTERRUPTED)
