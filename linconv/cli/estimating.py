"""The estimate of an experiment, as text."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from linconv.cli.options import log_to
from linconv.config import Config
from linconv.config.needs import MEASURING
from linconv.config.steps import step_kinds
from linconv.pipeline import cores
from linconv.results.kinds import KINDS
from linconv.results.missing import missing_runs

KIND_SECONDS = 2.0  # that timing takes, for images of 32 pixels on one core
QUIET_SECONDS = 2.0  # after which it is said what is being timed


def show_estimate(settings: Config, results: Path, device: str) -> None:
    """Print a line for every cell of the grid that lacks runs, and what all of them take."""
    log_to(None)
    missing = missing_runs(settings, results / settings.experiment)
    kinds = len({kind for run in missing for kind in step_kinds(run)})
    if kinds:  # before torch is imported, which takes seconds
        typer.echo(f"timing steps of {kinds} {what_is_timed(kinds)}", err=True)
    progress = Progress(kinds)
    from linconv.devices import device_slot

    with device_slot(device) as here:
        from linconv.estimate import estimate  # torch must see the device chosen above

        with quiet():
            found = estimate(settings, missing, here, progress)
    typer.echo(f"{found.planned} runs, {found.runs} of them without a result")
    if found.cells:
        typer.echo(f"{'runs':>5} {'ms a step':>10} {'minutes a run':>14}")
    for cell in found.cells:
        name = f"{cell.dataset}/{cell.architecture}/{cell.variant}"
        typer.echo(f"{cell.runs:>5} {1000 * cell.step_seconds:>10.2f} {cell.run_seconds / 60:>14.1f}  {name}")
    typer.echo(f"time       {duration(found.seconds)} one after another on {here}, as busy as this machine is now")
    if here == "cpu":
        typer.echo(
            f"           {duration(found.processor_seconds)} of the processor, on a machine that does nothing else"
        )
    if found.starts_seconds:
        typer.echo(
            f"           {duration(found.starts_seconds)} of the processor more where each run is a process of its own "
            f"(`linconv train`, the pipeline), for {found.start_seconds:.0f} s to start each"
        )
    many = 1 if here == "cuda" else max(1, cores() // settings.threads)
    if many > 1:
        typer.echo(f"           {duration(found.seconds / many)} at best with {many} at once, as `linconv run` does")
    megabytes = found.result_bytes / 1e6, found.checkpoint_bytes / 1e6
    typer.echo(f"disk       {megabytes[0]:.1f} MB of results, {megabytes[1]:.1f} MB more for a run in progress")
    fetched = ", ".join(f"{name} {size:.0f} MB" for name, size in found.downloads.items())
    typer.echo(f"downloads  {fetched or 'none'}")
    for note in found.notes:
        typer.echo(f"note       {note}")
    if left := not_estimated(settings):
        typer.echo(f"note       measurements are not in it: {', '.join(left)}")


@contextmanager
def quiet() -> Iterator[None]:
    """Only warnings in the log: what is built to be timed is no run."""
    log = logging.getLogger("linconv")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def what_is_timed(kinds: int) -> str:
    """The kinds of runs, and how long it takes to time so many."""
    named = "kinds of runs (network, layers, size of images and batch)" if kinds > 1 else "kind of run"
    return f"{named}, about {duration(KIND_SECONDS * kinds)} on an idle core, longer for images above 32 pixels"


class Progress:
    """A line on standard error for what is timed next, where nothing was said for a while."""

    def __init__(self, kinds: int) -> None:
        self.kinds, self.said = kinds, time.monotonic()

    def __call__(self, number: int, what: str) -> None:
        now = time.monotonic()
        if now - self.said >= QUIET_SECONDS:
            typer.echo(f"{number} of {self.kinds}: {what}", err=True)
            self.said = now


def not_estimated(settings: Config) -> list[str]:
    """The measurements that the configuration asks for; the count of `complexity` takes no time worth a note."""
    return [name for name in MEASURING if name != "complexity" and KINDS[name].plan(settings)]


def duration(seconds: float) -> str:
    """Such as 42 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
