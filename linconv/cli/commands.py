"""All commands of `linconv`."""

from __future__ import annotations

from typing import Annotated

import typer

from linconv import __version__
from linconv.cli import catalogue, measure, pipeline, render, reproduce, results, runs, work
from linconv.cli.usage import add_examples
from linconv.config.errors import UserError
from linconv.launch import launch

app = typer.Typer(help="LinearConv and its benchmark.", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(pipeline.app)
app.add_typer(runs.app)
app.add_typer(work.app)
app.add_typer(reproduce.app)
app.add_typer(catalogue.app)
app.add_typer(results.app)
app.add_typer(measure.app, name="measure")
app.add_typer(render.app, name="render")
add_examples(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"linconv {__version__}")
        raise typer.Exit


@app.callback()
def linconv(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="print the version and end")
    ] = False,
) -> None:
    """LinearConv and its benchmark."""
    if (started := launch()).processes > 1 and context.invoked_subcommand != "train":
        raise UserError(
            f"`linconv {context.invoked_subcommand}` works in one process, and {started.processes} were started; only "
            "`linconv train` works in several"
        )
