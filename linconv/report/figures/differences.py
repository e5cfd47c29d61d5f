"""The differences to the plain convolution with their intervals and the equivalence margin, as a forest plot."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats

from linconv.report.figures.style import FAINT, MARGIN, MISSING_COLOR, SIGN, STRIPE, variant_styles
from linconv.report.labels import architecture_label, dataset_label, variant_label
from linconv.report.source import IN_DETAIL, Experiment
from linconv.report.text import percent
from linconv.report.wording import tests_text
from linconv.results.statistics import Cell

_CAPTION = (
    "{data}: difference of the top-1 accuracy to Conv, paired by seed (in brackets: the number of pairs). Points are "
    "means; thin lines {wide} t-intervals, thick ones {narrow}: a thick line within the shaded margin of ±{margin:g} "
    "percentage points shows equivalence before the adjustment for several tests. Filled points: equivalent after it; "
    "diamonds: different from 0. {tests}"
)


def differences_figure(experiment: Experiment, dataset: str) -> tuple[Figure, str]:
    """One line per network and variant on a data set, with the margin of equivalence, and the caption."""
    options = experiment.config.statistics
    cells = [c for c in experiment.cells if c.dataset == dataset and not c.baseline]
    many = len({c.variant for c in cells}) > IN_DETAIL
    figure = Figure()
    figure.suptitle(f"{dataset_label(dataset)}: difference to Conv (pairs of runs)")
    (_side_by_side if many else _one_below_the_other)(figure, experiment, cells)
    _legend(figure, experiment)
    caption = _CAPTION.format(
        data=dataset_label(dataset),
        wide=percent(1 - options.alpha),
        narrow=percent(1 - 2 * options.alpha),
        margin=options.margin,
        tests=tests_text(experiment),
    )
    return figure, caption


def _one_below_the_other(figure: Figure, experiment: Experiment, cells: list[Cell]) -> None:
    """All networks in one panel."""
    networks = list(dict.fromkeys(c.architecture for c in cells))
    longest = max((len(variant_label(c.variant)) for c in cells), default=0)
    width = 3.5 + 0.06 * max(0, longest - 8)
    figure.set_size_inches(width, max(1.7, 1.25 + 0.21 * len(cells) + 0.24 * len(networks)))
    axes = figure.subplots()
    y, ticks, labels, means = 0.0, [], [], []
    options = experiment.config.statistics
    ends = [-1.3 * options.margin, 1.3 * options.margin]
    for network in networks:
        ticks.append(y)
        labels.append(architecture_label(network))
        for cell in (c for c in cells if c.architecture == network):
            y += 1
            ends += _line(axes, experiment, cell, y)
            means.append((cell.difference.mean, y))
            ticks.append(y)
            labels.append(f"{variant_label(cell.variant)} ({cell.difference.n})")
        y += 1.15
    axes.set_yticks(ticks, labels)
    for tick in axes.get_yticklabels():
        if tick.get_text() in map(architecture_label, networks):
            tick.set_fontweight("bold")
    axes.set_ylim(y - 0.4, -0.7)
    _frame(axes, experiment, ends)
    _beyond(axes, means)
    if not cells:
        axes.text(0.5, 0.5, "nothing to compare", transform=axes.transAxes, ha="center", color=MISSING_COLOR)


def _side_by_side(figure: Figure, experiment: Experiment, cells: list[Cell]) -> None:
    """A panel per network, in which each variant has the same row, so that many stay readable."""
    networks = list(dict.fromkeys(c.architecture for c in cells))
    variants = [v for v in experiment.config.variants if any(c.variant == v for c in cells)]
    figure.set_size_inches(max(4.4, 1.5 + 2.4 * len(networks)), 1.4 + 0.17 * len(variants))
    grid = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    for network, axes in zip(networks, grid, strict=True):
        axes.set_title(architecture_label(network))
        for i in range(0, len(variants), 2):
            axes.axhspan(i - 0.5, i + 0.5, color=STRIPE, lw=0, zorder=0)
        _in_rows(axes, experiment, [c for c in cells if c.architecture == network], variants)


def _in_rows(axes: Axes, experiment: Experiment, cells: list[Cell], variants: list[str]) -> None:
    """The cells of one network, each in the row of its variant; a smaller number of pairs stands beside the row."""
    rows = {v: float(i) for i, v in enumerate(variants)}
    ends = [-1.3 * experiment.config.statistics.margin, 1.3 * experiment.config.statistics.margin]
    for cell in cells:
        ends += _line(axes, experiment, cell, rows[cell.variant])
    axes.set_yticks(range(len(variants)), [variant_label(v) for v in variants], fontsize=6.8)
    axes.set_ylim(len(variants) - 0.4, -0.6)
    _frame(axes, experiment, ends)
    _beyond(axes, [(c.difference.mean, rows[c.variant]) for c in cells])
    pairs = max((c.difference.n for c in cells), default=0)
    for cell in (c for c in cells if 0 < c.difference.n < pairs):
        place = (1.01, rows[cell.variant])
        text = f"({cell.difference.n})"
        axes.annotate(text, place, xycoords=("axes fraction", "data"), va="center", fontsize=6)


def _frame(axes: Axes, experiment: Experiment, ends: list[float]) -> None:
    """What every panel has: the margin, the line of no difference, limits and grid."""
    margin = experiment.config.statistics.margin
    axes.axvspan(-margin, margin, color=MARGIN, alpha=0.10, lw=0)
    axes.axvline(0, color=FAINT, lw=0.8)
    axes.tick_params(axis="y", length=0)
    _limits(axes, ends)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Accuracy minus Conv's (percentage points)")


def _beyond(axes: Axes, means: list[tuple[float, float]]) -> None:
    """Write the means that the limits cut off at the edge where they lie, given with their heights."""
    _, edge = axes.get_xlim()
    for mean, y in means:
        if abs(mean) > edge:  # no run: NaN, which is not
            text = f"\N{LEFTWARDS ARROW} {mean:.1f}" if mean < 0 else f"{mean:+.1f} \N{RIGHTWARDS ARROW}"
            x, side = (0.01, "left") if mean < 0 else (0.99, "right")
            axes.text(x, y, text, transform=axes.get_yaxis_transform(), ha=side, va="center", fontsize=6.5)


def _line(axes: Axes, experiment: Experiment, cell: Cell, y: float) -> list[float]:
    """Draw one cell at height y; returns the ends of what it takes up."""
    found, comparison = cell.difference, experiment.comparisons[cell[:3]]
    if not found.n:
        axes.text(0, y, "no pair of runs", ha="center", va="center", fontsize=6.5, color=MISSING_COLOR)
        return []
    color = variant_styles(experiment)[cell.variant].color
    ends = [found.mean]
    if found.n > 1:
        axes.plot([found.low, found.high], [y, y], color=color, lw=0.9, solid_capstyle="butt")
        t = float(stats.t.ppf(1 - experiment.config.statistics.alpha, found.n - 1))
        half = t * found.sd / math.sqrt(found.n)
        axes.plot([found.mean - half, found.mean + half], [y, y], color=color, lw=2.6, solid_capstyle="butt")
        ends += [found.low, found.high]
    filled = comparison.outcome == "equivalent"
    marker = "D" if comparison.differs else "o"
    axes.plot(found.mean, y, marker, ms=5, color=color if filled else "white", mec=color, mew=1.1, zorder=3)
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
        face = SIGN if filled else "white"
        return Line2D([], [], ls="", marker=marker, ms=5, color=face, mec=SIGN, mew=1.1, label=label)

    options = experiment.config.statistics
    handles = [
        sign("o", True, "equivalent"),
        sign("D", False, "different"),
        sign("D", True, "both"),
        sign("o", False, "neither shown"),
        Line2D([], [], color=SIGN, lw=0.9, label=f"{percent(1 - options.alpha)} interval"),
        Line2D([], [], color=SIGN, lw=2.6, label=f"{percent(1 - 2 * options.alpha)} interval"),
        Patch(color=MARGIN, alpha=0.10, lw=0, label=f"margin ±{options.margin:g}"),
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
