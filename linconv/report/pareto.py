"""What accuracy costs: top-1 over parameters and over multiply-accumulates, one point per network and variant."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

from linconv.report.labels import (
    MISSING_COLOUR,
    architecture_label,
    dataset_label,
    network_markers,
    variant_label,
    variant_styles,
)
from linconv.report.source import Experiment

_CAPTION = (
    "{data}: top-1 accuracy on the test set over parameters (top) and over multiply-accumulates per image in feature "
    "space (bottom). Points are means over the finished runs, bars {level} t-intervals (none for a single run); a grey "
    "line joins the networks and variants that no other one beats in both. Variants of one network with one cost stand "
    "side by side. Colours are variants, shapes networks."
)


def pareto(experiment: Experiment, dataset: str) -> tuple[Figure, str]:
    """Accuracy over parameters and over multiply-accumulates for one data set, and the caption."""
    figure = Figure(figsize=(3.5, 4.7))
    figure.suptitle(f"{dataset_label(dataset)}: accuracy and its cost")
    top, bottom = figure.subplots(2, 1)
    _points(top, experiment, dataset, "params", "Parameters (M)")
    _points(bottom, experiment, dataset, "macs_feature", "Multiply-accumulates per image, feature space (M)")
    _legend(figure, experiment, dataset)
    level = f"{100 * (1 - experiment.config.statistics.alpha):g} %"
    return figure, _CAPTION.format(data=dataset_label(dataset), level=level)


def _points(axes: Axes, experiment: Experiment, dataset: str, column: str, label: str) -> None:
    styles = variant_styles(experiment.config.variants)
    markers = network_markers(experiment.config.architectures)
    points: list[tuple[float, float]] = []
    used: dict[tuple[str, float], int] = {}
    for cell in experiment.cells:
        model = experiment.model(cell.architecture, cell.variant)
        if cell.dataset != dataset or model is None or not cell.value.n:
            continue
        x, y = model[column] / 1e6, cell.value.mean
        half = 0.0 if math.isnan(cell.value.low) else y - cell.value.low
        beside = used[cell.architecture, x] = used.get((cell.architecture, x), -1) + 1
        # variants of one network with one cost stand side by side, not on top of one another
        shift = ScaledTranslation(5 * beside / 72, 0, axes.figure.dpi_scale_trans)
        axes.errorbar(
            *(x, y, half or None),
            transform=axes.transData + shift,
            fmt=markers[cell.architecture],
            color=styles[cell.variant][0],
            ms=5,
            capsize=2.5,
            elinewidth=0.9,
            mec="white",
            mew=0.5,
            ecolor=styles[cell.variant][0],
            zorder=3,
        )
        axes.update_datalim([(x, y - half), (x, y + half)])  # what is shifted does not count by itself
        points.append((x, y))
    axes.set_xlabel(label)
    axes.set_ylabel("Top-1 accuracy (%)")
    axes.margins(x=0.08, y=0.12)
    if not points:
        axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", va="center", color=MISSING_COLOUR)
        axes.set(xticks=[], yticks=[])
        return
    axes.autoscale_view()
    low, high = axes.get_ylim()
    axes.set_ylim(low, min(high, 100 + 0.04 * (100 - low)))  # an interval may pass 100 %, an accuracy may not
    front = sorted(p for p in points if not any(_beats(q, p) for q in points))
    if len(front) > 1:
        axes.plot(*zip(*front, strict=True), color="#999999", lw=0.8, zorder=1)
    xs = [x for x, _ in points]
    if max(xs) > 4 * min(xs):
        axes.set_xscale("log")
        low, high = math.floor(math.log10(min(xs))), math.ceil(math.log10(max(xs)))
        axes.xaxis.set_major_locator(FixedLocator([m * 10**e for e in range(low, high + 1) for m in (1, 2, 5)]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))


def _beats(other: tuple[float, float], own: tuple[float, float]) -> bool:
    """Whether `other` costs no more and is no worse, and better in one of both."""
    return other != own and other[0] <= own[0] and other[1] >= own[1]


def _legend(figure: Figure, experiment: Experiment, dataset: str) -> None:
    cells = [c for c in experiment.cells if c.dataset == dataset]
    styles = variant_styles(experiment.config.variants)
    markers = network_markers(experiment.config.architectures)
    variants = [v for v in experiment.config.variants if any(c.variant == v for c in cells)]
    networks = [a for a in experiment.config.architectures if any(c.architecture == a for c in cells)]
    handles = [
        Line2D([], [], ls="", marker="s", ms=5, color=styles[v][0], label=variant_label(v)) for v in variants
    ] + [
        Line2D([], [], ls="", marker=markers[a], ms=5, color="none", mec="black", mew=0.8, label=architecture_label(a))
        for a in networks
    ]
    longest = max(len(str(h.get_label())) for h in handles)
    most = max(1, min(5, 55 // (longest + 5)))
    figure.legend(handles=handles, loc="outside lower center", ncols=-(-len(handles) // -(-len(handles) // most)))
