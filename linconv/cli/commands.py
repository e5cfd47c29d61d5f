"""All commands of `linconv`."""

from __future__ import annotations

import typer

from linconv.cli import catalogue, measure, render, reproduce, results, runs, work

app = typer.Typer(
    help="LinearConv and its benchmark.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.add_typer(runs.app)
app.add_typer(work.app)
app.add_typer(reproduce.app)
app.add_typer(catalogue.app)
app.add_typer(results.app)
app.add_typer(measure.app, name="measure")
app.add_typer(render.app, name="render")
