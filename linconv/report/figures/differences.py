"""The differences to the plain convolution with their intervals and the margins of equivalence, as a forest plot."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from linconv.report.figures.style import FAINT, MARGIN, MISSING_COLOR, SIGN, STRIPE, detail_colors, variant_styles
from linconv.report.inference import Cell
from linconv.report.labels import architecture_label, dataset_label, variant_label
from linconv.report.source import IN_DETAIL, Experiment
from linconv.report.text import percent
from linconv.report.verdicts import margin_notes, tested_text

_CAPTION = (
    "{data}: difference of the top-1 accuracy to Conv (in brackets: runs of each). {tests} An interval that excludes 0 "
    "shows a difference (diamond), one inside the shaded margin equivalence (filled). {margins}"
)


def differences_figure(experiment: Experiment, dataset: str) -> tuple[Figure, str]:
    """One line per network and variant on a data set, with the margin of equivalence, and the caption."""
    cells = [c for c in experiment.cells if c.dataset == dataset and not c.baseline]
    many = len({c.variant for c in cells}) > IN_DETAIL
    figure = Figure()
    figure.suptitle(f"{dataset_label(dataset)}: difference to Conv (runs)")
    (_side_by_side if many else _one_below_the_other)(figure, experiment, cells)
    _legend(figure, experiment)
    places = [place for place in dict.fromkeys(c.place for c in cells) if place in experiment.margins]
    caption = _CAPTION.format(
        data=dataset_label(dataset),
        tests=tested_text(experiment, experiment.comparisons.values()),
        margins=" ".join(margin_notes(experiment, places)),
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
    ends: list[float] = []
    for network in networks:
        top = y
        ticks.append(y)
        labels.append(architecture_label(network))
        for cell in (c for c in cells if c.architecture == network):
            y += 1
            ends += _line(axes, experiment, cell, y, variant_styles(experiment)[cell.variant].color)
            found = experiment.comparisons[cell[:3]]
            means.append((found.mean, y))
            ticks.append(y)
            labels.append(f"{variant_label(cell.variant)} ({found.runs})")
        ends += _margin(axes, experiment, [c for c in cells if c.architecture == network], (top - 0.4, y + 0.6))
        y += 1.15
    axes.set_yticks(ticks, labels)
    for tick in axes.get_yticklabels():
        if tick.get_text() in map(architecture_label, networks):
            tick.set_fontweight("bold")
    axes.set_ylim(y - 0.4, -0.7)
    _frame(axes, ends)
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
    """The cells of one network, each in the row of its variant; a smaller number of runs stands beside the row."""
    rows = {v: float(i) for i, v in enumerate(variants)}
    ends = _margin(axes, experiment, cells, (-0.6, len(variants) - 0.4))
    colors = detail_colors(experiment, variants)
    for cell in cells:
        ends += _line(axes, experiment, cell, rows[cell.variant], colors[cell.variant])
    axes.set_yticks(range(len(variants)), [variant_label(v) for v in variants], fontsize=6.8)
    axes.set_ylim(len(variants) - 0.4, -0.6)
    _frame(axes, ends)
    found = {cell: experiment.comparisons[cell[:3]] for cell in cells}
    _beyond(axes, [(f.mean, rows[cell.variant]) for cell, f in found.items()])
    runs = max((f.runs for f in found.values()), default=0)
    for cell, comparison in found.items():
        if 0 < comparison.runs < runs:
            place = (1.01, rows[cell.variant])
            text = f"({comparison.runs})"
            axes.annotate(text, place, xycoords=("axes fraction", "data"), va="center", fontsize=6)


def _margin(axes: Axes, experiment: Experiment, cells: list[Cell], rows: tuple[float, float]) -> list[float]:
    """Shade the margin of the cells' network over its rows; returns the ends of what it takes up."""
    margin = experiment.margins.get(cells[0].place) if cells else None
    if margin is None:
        return []
    left, right = -margin.points, margin.points
    axes.fill_betweenx(rows, left, right, color=MARGIN, alpha=0.10, lw=0)
    return [1.3 * left, 1.3 * right]


def _frame(axes: Axes, ends: list[float]) -> None:
    """What every panel has: the line of no difference, limits and grid."""
    axes.axvline(0, color=FAINT, lw=0.8)
    axes.tick_params(axis="y", length=0)
    _limits(axes, ends or [-1.0, 1.0])
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


def _line(axes: Axes, experiment: Experiment, cell: Cell, y: float, color: str) -> list[float]:
    """Draw one cell at height y; returns the ends of what it takes up."""
    found = experiment.comparisons[cell[:3]]
    if not found.runs:
        axes.text(0, y, "no run", ha="center", va="center", fontsize=6.5, color=MISSING_COLOR)
        return []
    ends = [found.mean]
    if found.tested:
        axes.plot([found.low, found.high], [y, y], color=color, lw=1.4, solid_capstyle="butt")
        ends += [found.low, found.high]
    filled = found.outcome == "equivalent"
    marker = "D" if found.differs else "o"
    axes.plot(found.mean, y, marker, ms=5, color=color if filled else "white", mec=color, mew=1.1, zorder=3)
    if found.no_variance:
        axes.annotate("all equal", (found.mean, y), (6, 0), textcoords="offset points", va="center", fontsize=6)
    return ends


def _limits(axes: Axes, ends: list[float]) -> None:
    """Room for most of the lines: the interval of a variant that spreads may be far wider than the rest and is cut."""
    half = max(map(abs, ends))
    middle = sorted(map(abs, ends))[max(0, round(0.8 * len(ends)) - 1)]
    half = min(half, 3 * middle) or 1.0
    axes.set_xlim(-1.06 * half, 1.06 * half)


def _legend(figure: Figure, experiment: Experiment) -> None:
    def sign(marker: str, filled: bool, label: str) -> Line2D:
        face = SIGN if filled else "white"
        return Line2D([], [], ls="", marker=marker, ms=5, color=face, mec=SIGN, mew=1.1, label=label)

    level = percent(1 - experiment.config.statistics.alpha)
    handles = [
        sign("o", True, "equivalent"),
        sign("D", False, "different"),
        sign("D", True, "both"),
        sign("o", False, "undecided"),
        Line2D([], [], color=SIGN, lw=1.4, label=f"{level} interval, all at once"),
        Patch(color=MARGIN, alpha=0.10, lw=0, label="margin"),
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3,
        columnspacing=0.9,
        handlelength=1.2,
        handletextpad=0.4,
        fontsize=6.8,
    )
