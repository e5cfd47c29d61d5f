"""Figures of an experiment, made of the collected data alone; the same data give the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from matplotlib.figure import Figure

from linconv.report.curves import curves
from linconv.report.drawing import draw_all, lay_out, save
from linconv.report.filter_maps import filter_maps
from linconv.report.forest import differences
from linconv.report.heatmaps import correlations
from linconv.report.layers import redundancy_layers
from linconv.report.memory import memory_figure
from linconv.report.panels import panels
from linconv.report.pareto import pareto
from linconv.report.source import Experiment, load_experiment
from linconv.report.speed import speed_figure
from linconv.report.throughput import throughput_figure


class FigureKind(NamedTuple):
    """How a kind of figure is drawn, and of what there is one each: a network on a data set, a data set, or all.

    "timings" stands for all timings, where there are any, "memory" for those that tell the peak memory, and "batches"
    for the timings of a network at several batches.

    `draw` takes the experiment, then the data set and the network as far as there is one of each, and returns the
    figure and its caption.
    """

    draw: Callable[..., tuple[Figure, str]]
    per: Literal["network", "dataset", "experiment", "timings", "memory", "batches"]


FIGURES: dict[str, FigureKind] = {
    "panels": FigureKind(panels, "network"),
    "correlations": FigureKind(correlations, "network"),
    "curves": FigureKind(curves, "network"),
    "redundancy": FigureKind(redundancy_layers, "network"),
    "filters": FigureKind(filter_maps, "network"),
    "pareto": FigureKind(pareto, "dataset"),
    "differences": FigureKind(differences, "dataset"),
    "speed": FigureKind(speed_figure, "timings"),
    "memory": FigureKind(memory_figure, "memory"),
    "throughput": FigureKind(throughput_figure, "batches"),
}


class Planned(NamedTuple):
    """A figure to be drawn: its kind, what it is of (a data set, a network), and its file's name without the format."""

    kind: str
    where: tuple[str, ...]

    @property
    def stem(self) -> str:
        return "_".join((self.kind, *self.where))


def planned_figures(experiment: Experiment) -> list[Planned]:
    """The figures of an experiment in the order in which they are read; none of what has no run."""
    of_networks = [
        (d, a)
        for d in experiment.config.datasets
        for a in experiment.config.architectures
        if not experiment.of_network(experiment.runs, d, a).empty
    ]
    timings = experiment.throughput
    any_timed = bool((timings["status"] == "ok").any())
    batches = timings.groupby("architecture", sort=False)["batch_size"].nunique()
    places: dict[str, list[tuple[str, ...]]] = {
        "experiment": [()] if of_networks else [],
        "timings": [()] if any_timed else [],
        "memory": [()] if timings["peak_allocated_mib"].notna().any() else [],
        "batches": [(str(network),) for network, count in batches.items() if any_timed and count > 1],
        "dataset": list(dict.fromkeys((d,) for d, _ in of_networks)),
        "network": list(of_networks),
    }
    return [
        Planned(kind, where)
        for per, found in places.items()
        for where in found
        for kind, figure in FIGURES.items()
        if figure.per == per
    ]


def draw_figure(experiment: Experiment, planned: Planned) -> tuple[Figure, str]:
    """A figure, laid out, and its caption."""
    figure, caption = FIGURES[planned.kind].draw(experiment, *planned.where)
    lay_out(figure)
    return figure, caption


def render_figures(root: str | Path, *, workers: int = 1) -> list[Path]:
    """Write the figures of an experiment to its folder figures/ and return their paths.

    They are those of `planned_figures`, named <kind>_<dataset>_<architecture> as far as they are of one, in the
    formats of the configuration. Figures of earlier calls that have no run any more are removed. The caption is
    in the file's metadata.

    Args:
        root: the experiment's folder, results/<experiment>, with config.yaml and data/.
        workers: processes that draw side by side; the files are the same whatever their number.

    Raises:
        ResultError: the collected data or the configuration is missing or damaged.
    """
    experiment = load_experiment(root)
    written = draw_all(_write_figure, experiment, planned_figures(experiment), workers)
    paths = [path for of_one in written for path in of_one]
    for old in _folder(experiment).glob("*"):  # of networks whose runs are gone
        if old not in paths and old.stem.partition("_")[0] in FIGURES:
            old.unlink()
    return paths


def _write_figure(experiment: Experiment, planned: Planned) -> list[Path]:
    figure, caption = draw_figure(experiment, planned)
    stem = _folder(experiment) / planned.stem
    return [save(figure, caption, stem, suffix) for suffix in experiment.config.figures.formats]


def _folder(experiment: Experiment) -> Path:
    return experiment.root / "figures"
