"""Result files, gathered, joined, compared and reported; imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linconv.cli.options import ConfigFile, ResultsOption, Workers
from linconv.config import Config, ConfigError, load_config
from linconv.config.writing import config_text
from linconv.results import write_text
from linconv.results.record import ResultError

app = typer.Typer()


@app.command("collect")
def collect(
    config: ConfigFile,
    results: ResultsOption = Path("results"),
    partial: Annotated[bool, typer.Option(help="take what exists, list the rest in failures.csv")] = False,
) -> None:
    """Gather the result files of an experiment into tidy CSV files."""
    from linconv.results.collect import collect as collect_results

    settings = load_config(config)
    folder = results / settings.experiment
    if partial and not folder.is_dir():
        raise ResultError(f"{folder}: no such folder; name with --results the folder that holds it")
    for marker in (folder / "data").glob(".config-*"):  # of the pipeline: which configuration the data are of
        marker.unlink()
    typer.echo(str(collect_results(settings, folder, partial=partial)))
    if not _is_of(folder / "config.yaml", settings):  # the pipeline writes it before its first job
        write_text(folder / "config.yaml", config_text(settings, defaults=True))


def _is_of(file: Path, settings: Config) -> bool:
    """Whether a file holds this configuration: what is rendered is these data by that file."""
    try:
        return load_config(file) == settings
    except ConfigError:
        return False


@app.command("merge")
def merge(
    folders: Annotated[list[Path], typer.Argument(help="folders of one experiment, two or more", show_default=False)],
    output: Annotated[Path, typer.Option(help="the new folder that holds the runs of all", show_default=False)],
) -> None:
    """Join the folders that several machines filled for one experiment; refuses what contradicts itself."""
    from linconv.results.merge import merge as merge_folders

    typer.echo(str(merge_folders(folders, output)))


@app.command("compare")
def compare(
    a: Annotated[Path, typer.Argument(help="folder of an experiment, or of several", show_default=False)],
    b: Annotated[Path, typer.Argument(help="the folder to set beside it", show_default=False)],
    output: Annotated[Path | None, typer.Option(help="write the Markdown there")] = None,
) -> None:
    """Two result folders side by side: accuracies with the interval of their difference, counts, times, origins."""
    from linconv.report.compare import compare_folders

    text = compare_folders(a, b)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(help="folder of an experiment, or of several", show_default=False)],
    output: Annotated[Path | None, typer.Option(help="the page; by default FOLDER/report.html")] = None,
    workers: Workers = None,
) -> None:
    """One self-contained HTML page on the results in FOLDER, complete or not."""
    from linconv.report.figures.drawing import usable_cores
    from linconv.report.page import build_report

    typer.echo(str(build_report(folder, output, workers=workers or usable_cores())))
