"""Tables, figures, claims and the report of an experiment, rendered from its results. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from linconv.report.claims import render_claims, write_claims
from linconv.report.figures import render_figures, write_figures
from linconv.report.page import build_report
from linconv.report.page.build import Rendered
from linconv.report.page.images import page_png
from linconv.report.source import Experiment, load_experiment
from linconv.report.tables import render_tables, write_tables
from linconv.results.folders import experiment_folders

__all__ = ["build_report", "render_all", "render_claims", "render_figures", "render_tables"]


def render_all(folder: str | Path, *, workers: int = 1) -> list[Path]:
    """Write everything that is made of collected results, and return the paths.

    Tables, figures and claims of the experiment `folder`, or of each that it holds; then claims (of several
    experiments together) and the report of the folder itself. Figures are drawn by `workers` processes.

    Raises:
        ResultError: there is no experiment, or its data are missing or damaged.
    """
    return render_loaded(folder, {root: load_experiment(root) for root in experiment_folders(folder)}, workers=workers)


def render_loaded(folder: str | Path, experiments: Mapping[Path, Experiment], *, workers: int = 1) -> list[Path]:
    """What `render_all` writes, of the folder's experiments that are loaded."""
    paths, rendered = [], {}
    for root, experiment in experiments.items():
        tables = write_tables(experiment)
        figures, drawn = write_figures(experiment, page_png, workers=workers)
        paths += [*tables, *figures, write_claims(root, [experiment])]
        rendered[root] = Rendered(experiment, drawn)
    if [*experiments] != [Path(folder)]:
        paths.append(write_claims(Path(folder), [*experiments.values()]))
    return [*paths, build_report(folder, workers=workers, rendered=rendered)]
