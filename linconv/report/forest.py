"""The differences to the plain convolution with their intervals and the equivalence margin, as a forest plot."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats

from linconv.report.labels import MISSING_COLOUR, architecture_label, dataset_label, variant_label, variant_styles
from linconv.report.source import Experiment
from linconv.report.wording import percent, tests_text
from linconv.results.statistics import Cell

_MARGIN = "#0072B2"
_CAPTION = (
    "{data}: difference of the top-1 accuracy to Conv, paired by seed (in brackets: the number of pairs). Points are "
    "means; thin lines {wide} t-intervals, thick ones {narrow}: a thick line within the shaded margin of ±{margin:g} "
    "percentage points shows equivalence before the adjustment for several tests. Filled points: equivalent after it; "
    "diamonds: different from 0. {tests}"
)


def differences(experiment: Experiment, dataset: str) -> tuple[Figure, str]:
    """One line per network and variant on a data set, with the margin of equivalence, and the caption."""
    options = experiment.config.statistics
    cells = [c for c in experiment.cells if c.dataset == dataset and not c.baseline]
    networks = list(dict.fromkeys(c.architecture for c in cells))
    height = 1.25 + 0.21 * len(cells) + 0.24 * len(networks)
    figure = Figure(figsize=(3.5, max(1.7, height)))
    figure.suptitle(f"{dataset_label(dataset)}: difference to Conv (pairs of runs)")
    axes = figure.subplots()
    axes.axvspan(-options.margin, options.margin, color=_MARGIN, alpha=0.10, lw=0)
    axes.axvline(0, color="#777777", lw=0.8)
    y, ticks, labels = 0.0, [], []
    ends = [-1.3 * options.margin, 1.3 * options.margin]
    for network in networks:
        ticks.append(y)
        labels.append(architecture_label(network))
        for cell in (c for c in cells if c.architecture == network):
            y += 1
            ends += _line(axes, experiment, cell, y)
            ticks.append(y)
            labels.append(f"{variant_label(cell.variant)} ({cell.difference.n})")
        y += 1.15
    axes.set_yticks(ticks, labels)
    for tick in axes.get_yticklabels():
        if tick.get_text() in map(architecture_label, networks):
            tick.set_fontweight("bold")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(y - 0.4, -0.7)
    _limits(axes, ends)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Accuracy minus Conv's (percentage points)")
    if not cells:
        axes.text(0.5, 0.5, "nothing to compare", transform=axes.transAxes, ha="center", color=MISSING_COLOUR)
    _legend(figure, experiment)
    caption = _CAPTION.format(
        data=dataset_label(dataset),
        wide=percent(1 - options.alpha),
        narrow=percent(1 - 2 * options.alpha),
        margin=options.margin,
        tests=tests_text(experiment),
    )
    return figure, caption


def _line(axes: Axes, experiment: Experiment, cell: Cell, y: float) -> list[float]:
    """Draw one cell at height y; returns the ends of what it takes up."""
    found, comparison = cell.difference, experiment.comparisons[cell[:3]]
    if not found.n:
        axes.text(0, y, "no pair of runs", ha="center", va="center", fontsize=6.5, color=MISSING_COLOUR)
        return []
    colour = variant_styles(experiment.config.variants)[cell.variant][0]
    ends = [found.mean]
    if found.n > 1:
        axes.plot([found.low, found.high], [y, y], color=colour, lw=0.9, solid_capstyle="butt")
        t = float(stats.t.ppf(1 - experiment.config.statistics.alpha, found.n - 1))
        half = t * found.sd / math.sqrt(found.n)
        axes.plot([found.mean - half, found.mean + half], [y, y], color=colour, lw=2.6, solid_capstyle="butt")
        ends += [found.low, found.high]
    filled = comparison.outcome == "equivalent"
    marker = "D" if comparison.differs else "o"
    axes.plot(found.mean, y, marker, ms=5, color=colour if filled else "white", mec=colour, mew=1.1, zorder=3)
    if comparison.no_variance:
        axes.annotate("all equal", (found.mean, y), (6, 0), textcoords="offset points", va="center", fontsize=6)
    return ends


def _limits(axes: Axes, ends: list[float]) -> None:
    """Room for most of the lines: an interval of two runs may be a hundred times as wide as the rest and is cut."""
    half = max(map(abs, ends))
    middle = sorted(map(abs, ends))[max(0, round(0.8 * len(ends)) - 1)]
    half = min(half, max(3 * middle, 1.3 * abs(ends[1])))
    axes.set_xlim(-1.06 * half, 1.06 * half)


def _legend(figure: Figure, experiment: Experiment) -> None:
    def sign(marker: str, filled: bool, label: str) -> Line2D:
        face = "#555555" if filled else "white"
        return Line2D([], [], ls="", marker=marker, ms=5, color=face, mec="#555555", mew=1.1, label=label)

    options = experiment.config.statistics
    handles = [
        sign("o", True, "equivalent"),
        sign("D", False, "different"),
        sign("D", True, "both"),
        sign("o", False, "neither shown"),
        Line2D([], [], color="#555555", lw=0.9, label=f"{percent(1 - options.alpha)} interval"),
        Line2D([], [], color="#555555", lw=2.6, label=f"{percent(1 - 2 * options.alpha)} interval"),
        Patch(color=_MARGIN, alpha=0.10, lw=0, label=f"margin ±{options.margin:g}"),
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4,
        columnspacing=0.9,
        handlelength=1.2,
        handletextpad=0.4,
        fontsize=6.8,
    )
