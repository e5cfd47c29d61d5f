"""Everything at once, and what comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from linconv.cli.options import ConfigFile, ResultsOption, log_to, read_config, seconds

app = typer.Typer()


@app.command("run")
def run(
    config: ConfigFile,
    results: ResultsOption = Path("results"),
    jobs: Annotated[int | None, typer.Option(min=1, help="runs at the same time", show_default="by the cores")] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None, typer.Option(help="instead of the configuration's", show_default=False)
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="no training and no new measurement after that, such as 2h; collecting and rendering follow",
            show_default="none",
        ),
    ] = None,
) -> None:
    """Do all that a configuration asks for: train, measure, collect, render. What is there is not made again.

    Tables, figures and report.html are then in RESULTS/<experiment>. The exit code is 0 where all is there, 1 where
    something failed and the rest was rendered, 75 where Ctrl-C or the budget ended it: the same command continues it.
    """
    log_to(None)
    from linconv.pipeline import run_pipeline

    settings = read_config(config)
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    limit = None if budget is None else seconds(budget)
    raise typer.Exit(run_pipeline(settings, results, jobs=jobs, budget_seconds=limit))
