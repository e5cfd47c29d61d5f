"""What accuracy costs: top-1 over parameters, multiply-accumulates and time, one point per network and variant."""

from __future__ import annotations

import math
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from linconv.report import costs
from linconv.report.costs import Measure
from linconv.report.drawing import log_ticks, say_instead
from linconv.report.labels import architecture_label, dataset_label, network_markers, variant_label, variant_styles
from linconv.report.numbered import OTHERS, number_points, numbered_key
from linconv.report.source import IN_DETAIL, Experiment
from linconv.report.speed import how_label, where
from linconv.report.wording import percent
from linconv.results.statistics import Cell

_CAPTION = (
    "{data}: top-1 accuracy on the test set over {costs}. Multiply-accumulates are per image, in the form auto, by "
    "which the layers run.{time} Points are means over the finished runs; a grey line joins the networks and variants "
    "that no other one beats in both. {look}"
)
_TIME = (
    " The time is that of {batch} images of {shape} numbers in the form auto ({how}): the plain network's median times "
    "the median ratio of a round; what was not timed is left out. Timed on {where}."
)
_FEW = (
    "Bars are {level} t-intervals (none for a single run). Variants of one network with one cost stand side by side. "
    "Colours are variants, shapes networks."
)
_MANY = (
    "One column per network; numbers are variants, as listed below. Coloured: LinearConv's variants; black: the plain "
    "network and what the rankings compare with; grey: other methods. A triangle at the lower edge stands for an "
    "accuracy below it, which is given beside its number. Intervals are in the figure of differences."
)


class _Panel(NamedTuple):
    """An axis of cost: its label, unit and measure."""

    label: str
    unit: float
    measure: Measure


class _Point(NamedTuple):
    cell: Cell
    x: float
    y: float


def pareto(experiment: Experiment, dataset: str) -> tuple[Figure, str]:
    """Accuracy over parameters, multiply-accumulates and, where it was measured, time for one data set; the caption."""
    panels = [
        _Panel("Parameters (M)", 1e6, costs.parameters),
        _Panel("Multiply-accumulates per image (M)", 1e6, costs.macs),
    ]
    cells = [c for c in experiment.cells if c.dataset == dataset]
    names, time = "parameters and over multiply-accumulates", ""
    at, options = costs.timed_at(experiment), experiment.config.throughput
    if at and options and not all(math.isnan(costs.latency(experiment, c[:3]).value) for c in cells):
        panels.append(_Panel(f"Time of {at.batch_size} images (ms)", 1, costs.latency))
        names = "parameters, over multiply-accumulates and over the measured time of a forward pass"
        shape, how = "x".join(map(str, options.input_shape)), how_label(at.backend, at.precision)
        time = _TIME.format(batch=at.batch_size, shape=shape, how=how, where=where(costs.timings(experiment)))
    many = len({c.variant for c in cells}) > IN_DETAIL
    figure = Figure()
    figure.suptitle(f"{dataset_label(dataset)}: accuracy and its cost")
    (_many if many else _few)(figure, experiment, cells, panels)
    look = _MANY if many else _FEW.format(level=percent(1 - experiment.config.statistics.alpha))
    return figure, _CAPTION.format(data=dataset_label(dataset), costs=names, time=time, look=look)


def _points(experiment: Experiment, cells: list[Cell], panel: _Panel) -> list[_Point]:
    """The cells with a finished run and a known cost."""
    values = {cell: panel.measure(experiment, cell[:3]).value / panel.unit for cell in cells if cell.value.n}
    return [_Point(cell, x, cell.value.mean) for cell, x in values.items() if not math.isnan(x)]


def _few(figure: Figure, experiment: Experiment, cells: list[Cell], panels: list[_Panel]) -> None:
    """One panel per cost over one another: all networks in each, variants by colour."""
    figure.set_size_inches(3.5, 0.7 + 2.0 * len(panels))
    for axes, panel in zip(figure.subplots(len(panels), 1), panels, strict=True):
        points = _points(experiment, cells, panel)
        _bars(axes, experiment, points)
        axes.set_ylabel("Top-1 accuracy (%)")
        axes.margins(x=0.08, y=0.12)
        axes.set_xlabel(panel.label)
        if _nothing(axes, points):
            continue
        axes.autoscale_view()
        low, high = axes.get_ylim()
        axes.set_ylim(low, min(high, 100 + 0.04 * (100 - low)))  # an interval may pass 100 %, an accuracy may not
        _front(axes, points)
        _scale(axes, [p.x for p in points])
    _legend(figure, experiment, cells)


def _bars(axes: Axes, experiment: Experiment, points: list[_Point]) -> None:
    styles = variant_styles(experiment.config.variants)
    markers = network_markers(experiment.config.architectures)
    used: dict[tuple[str, float], int] = {}
    for cell, x, y in points:
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


def _many(figure: Figure, experiment: Experiment, cells: list[Cell], panels: list[_Panel]) -> None:
    """A row of panels per cost and a column per network, with numbered points and their key below."""
    networks = list(dict.fromkeys(c.architecture for c in cells))
    variants = [v for v in experiment.config.variants if any(c.variant == v for c in cells)]
    numbers = {v: i for i, v in enumerate(variants, 1)}
    width = max(5.4, 3.7 * len(networks))
    figure.set_size_inches(width, 0.6 + 2.4 * len(panels) + 0.8 * len(variants) / width)
    colours = numbered_key(figure, experiment, variants)
    grid = figure.subplots(len(panels), len(networks), squeeze=False)
    drawn = []
    for panel, line in zip(panels, grid, strict=True):
        for network, axes in zip(networks, line, strict=True):
            points = _points(experiment, [c for c in cells if c.architecture == network], panel)
            axes.set_title(architecture_label(network))
            axes.set_xlabel(panel.label)
            axes.set_ylabel("Top-1 accuracy (%)")
            if _nothing(axes, points):
                continue
            low = _lower_edge([p.y for p in points])
            edge = low - 0.05 * (max(p.y for p in points) - low)
            inside = [(p.cell.variant, p.x, edge if p.y < low else p.y, p.y < low) for p in points]
            for variant, x, y, below in inside:
                size = 4.2 if colours[variant] != OTHERS else 3.4
                axes.plot(x, y, "v" if below else "o", color=colours[variant], ms=size, mew=0, zorder=3)
            axes.margins(x=0.09, y=0.1)
            _front(axes, [p for p in points if p.y >= low])
            _scale(axes, [p.x for p in points])
            labels = [f"{numbers[p.cell.variant]}" + (f": {p.y:.1f} %" if p.y < low else "") for p in points]
            drawn.append((axes, [(x, y) for _, x, y, _ in inside], labels))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the numbers are placed for this layout
    for axes, places, labels in drawn:
        number_points(axes, places, labels)


def _lower_edge(values: list[float]) -> float:
    """The accuracy from which on points are shown in their place: a network that failed would flatten all others."""
    ordered = sorted(values)
    quarter, middle = ordered[len(ordered) // 4], ordered[len(ordered) // 2]
    edge = quarter - 6 * max(middle - quarter, 0.25)
    return min(v for v in ordered if v >= edge) if edge > ordered[0] else ordered[0]


def _nothing(axes: Axes, points: list[_Point]) -> bool:
    """Say so where there is no point."""
    if not points:
        say_instead(axes, "nothing to show")
    return not points


def _front(axes: Axes, points: list[_Point]) -> None:
    places = [(p.x, p.y) for p in points]
    front = sorted(p for p in places if not any(_beats(q, p) for q in places))
    if len(front) > 1:
        axes.plot(*zip(*front, strict=True), color="#999999", lw=0.8, zorder=1)


def _beats(other: tuple[float, float], own: tuple[float, float]) -> bool:
    """Whether `other` costs no more and is no worse, and better in one of both."""
    return other != own and other[0] <= own[0] and other[1] >= own[1]


def _scale(axes: Axes, xs: list[float]) -> None:
    """Few numbers; a logarithmic axis where costs differ much."""
    if max(xs) <= 4 * min(xs):
        axes.xaxis.set_major_locator(MaxNLocator(6))
        return
    axes.set_xscale("log")
    log_ticks(axes.xaxis, xs)


def _legend(figure: Figure, experiment: Experiment, cells: list[Cell]) -> None:
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
