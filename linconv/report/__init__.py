"""Tables, figures, claims and the report of an experiment, rendered from its results. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from linconv.report.claims import render_claims
from linconv.report.figures import render_figures
from linconv.report.page import build_report
from linconv.report.tables import render_tables
from linconv.results.folders import experiment_folders

__all__ = ["build_report", "render_all", "render_claims", "render_figures", "render_tables"]


def render_all(folder: str | Path, *, workers: int = 1) -> list[Path]:
    """Write everything that is made of collected results, and return the paths.

    Tables, figures and claims of the experiment `folder`, or of each that it holds; then claims (of several
    experiments together) and the report of the folder itself. Figures are drawn by `workers` processes.

    Raises:
        ResultError: there is no experiment, or its data are missing or damaged.
    """
    roots = experiment_folders(folder)
    paths: list[Path] = []
    for root in roots:
        paths += [*render_tables(root), *render_figures(root, workers=workers), render_claims(root)]
    if roots != [Path(folder)]:
        paths.append(render_claims(folder))
    return [*paths, build_report(folder, workers=workers)]
