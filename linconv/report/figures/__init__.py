"""Figures of an experiment, made of the collected data alone; the same data give the same bytes."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from linconv.catalogue.figures import FIGURES
from linconv.report.figures.drawing import draw_all, lay_out, save_figure
from linconv.report.plan import Planned, plan_outputs, write_index
from linconv.report.source import Experiment, load_experiment


def draw_figure(experiment: Experiment, planned: Planned) -> tuple[Figure, str]:
    """A figure, laid out, and its caption."""
    figure, caption = planned.output.load()(experiment, *planned.names)
    lay_out(figure)
    return figure, caption


def render_figures(root: str | Path, *, workers: int = 1) -> list[Path]:
    """Write the figures of an experiment to its folder figures/ and return their paths.

    They are named <figure>_<data set>_<network> as far as they are made for one, in the formats of the configuration;
    the caption is in the file's metadata. index.json beside them lists what was drawn and why the rest was not; what
    earlier calls drew of the rest is removed.

    Args:
        root: the experiment's folder, results/<experiment>, with config.yaml and data/.
        workers: processes that draw side by side; the files are the same whatever their number.

    Raises:
        ResultError: the collected data or the configuration is missing or damaged.
    """
    experiment = load_experiment(root)
    planned = plan_outputs(experiment, FIGURES)
    written = draw_all(_write, experiment, planned.made, workers)
    files = {figure.stem: paths for figure, paths in zip(planned.made, written, strict=True)}
    folder = _folder(experiment)
    return [*(path for paths in written for path in paths), write_index(folder, planned, FIGURES, files)]


def _write(experiment: Experiment, planned: Planned) -> list[Path]:
    figure, caption = draw_figure(experiment, planned)
    return [
        save_figure(figure, caption, _folder(experiment) / planned.stem, s) for s in experiment.config.figures.formats
    ]


def _folder(experiment: Experiment) -> Path:
    return experiment.root / "figures"
