"""Tables, figures and claims of collected results; imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linconv.cli.options import Workers

app = typer.Typer(help="Render collected results; imports no torch.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="folder of an experiment, results/<experiment>", show_default=False)]
Folders = Annotated[Path, typer.Argument(help="folder of an experiment, or one that holds several", show_default=False)]


@app.command("tables")
def render_tables(folder: Folder) -> None:
    """Write FOLDER/tables from FOLDER/data."""
    from linconv.report import render_tables as write

    typer.echo("\n".join(str(path) for path in write(folder)))


@app.command("figures")
def render_figures(folder: Folder, workers: Workers = None) -> None:
    """Write FOLDER/figures from FOLDER/data."""
    from linconv.report import render_figures as write
    from linconv.report.figures.drawing import usable_cores

    typer.echo("\n".join(str(path) for path in write(folder, workers=workers or usable_cores())))


@app.command("all")
def render_all(folder: Folders, workers: Workers = None) -> None:
    """Write tables, figures, claims and the report of each experiment's collected results."""
    from linconv.report import render_all as write
    from linconv.report.figures.drawing import usable_cores

    typer.echo("\n".join(str(path) for path in write(folder, workers=workers or usable_cores())))


@app.command("claims")
def render_claims(folder: Folders) -> None:
    """Write FOLDER/claims.md: a verdict on each claim, from one experiment or from all in the folder."""
    from linconv.report import render_claims as write

    typer.echo(str(write(folder)))
