"""Figures of an experiment, made of the collected data alone; the same data give the same bytes."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from linconv.report.curves import curves
from linconv.report.heatmaps import correlations
from linconv.report.panels import panels
from linconv.report.source import load_experiment
from linconv.results.files import atomic_path

STYLE = Path(__file__).with_name("linconv.mplstyle")
FIGURES = {"panels": panels, "correlations": correlations, "curves": curves}
# What a file would say about the moment and the program of its making changes its bytes and tells nothing.
_SILENT = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
_CAPTION_KEY = {"svg": "Description", "pdf": "Subject", "png": "Description"}


def render_figures(root: str | Path) -> list[Path]:
    """Write the figures of an experiment to its folder figures/ and return their paths.

    Every network with a run on a data set has three, none without; figures of earlier calls that have no run any more
    are removed. They are named <kind>_<dataset>_<architecture>, in the formats of the
    configuration. The caption is in the file's metadata.

    Args:
        root: the experiment's folder, results/<experiment>, with config.yaml and data/.

    Raises:
        ResultError: the collected data or the configuration is missing or damaged.
    """
    experiment = load_experiment(root)
    paths: list[Path] = []
    with matplotlib.rc_context(fname=STYLE):
        for dataset in experiment.config.datasets:
            for architecture in experiment.config.architectures:
                if experiment.of_network(experiment.runs, dataset, architecture).empty:
                    continue
                for kind, draw in FIGURES.items():
                    figure, caption = draw(experiment, dataset, architecture)
                    figure.draw_without_rendering()
                    figure.set_layout_engine("none")  # laid out once, not again for every format
                    stem = experiment.root / "figures" / f"{kind}_{dataset}_{architecture}"
                    paths += [_save(figure, caption, stem, f) for f in experiment.config.figures.formats]
    for old in (experiment.root / "figures").glob("*"):  # of networks whose runs are gone
        if old not in paths and old.name.startswith(tuple(f"{kind}_" for kind in FIGURES)):
            old.unlink()
    return paths


def _save(figure: Figure, caption: str, stem: Path, suffix: str) -> Path:
    path = stem.with_name(f"{stem.name}.{suffix}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=suffix, metadata=_SILENT[suffix] | {_CAPTION_KEY[suffix]: caption})
    return path
