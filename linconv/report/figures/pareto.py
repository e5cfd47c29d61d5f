"""What accuracy costs: top-1 over parameters, multiply-accumulates and time, one point per network and variant."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from linconv.report.costs import (
    FORM,
    CostMeasure,
    TimedAt,
    deployed_time_cost,
    latency_timings,
    macs_cost,
    parameter_cost,
    timed_at,
    timed_form,
)
from linconv.report.figures.drawing import lay_out, log_ticks, say_instead
from linconv.report.figures.front import Front
from linconv.report.figures.numbered import number_points, numbered_key
from linconv.report.figures.style import GUIDE, OTHER, network_markers, network_shapes, variant_bars, variant_styles
from linconv.report.inference import Cell
from linconv.report.labels import architecture_label, dataset_label
from linconv.report.source import IN_DETAIL, Experiment
from linconv.report.text import percent
from linconv.report.timings import how_label, where_timed

_CAPTION = (
    "{data}: top-1 accuracy on the test set over {costs}. Multiply-accumulates are per image, in the form auto, by "
    "which the layers run.{time} Points are means over the finished runs; a gray line joins the networks and variants "
    "that a test shows to be more accurate than all that cost no more. {look}"
)
_TIME = (
    " The time is that of {batch} images of {shape} numbers in the form {form} ({how}): the plain network's "
    "median times the median ratio of a round; what was not timed is left out. Timed on {where}."
)
_FEW = (
    "Bars are {level} intervals. Variants of one network with one cost lie on one another, the later ones smaller. "
    "Colors are variants, shapes networks."
)
_MANY = (
    "One column per network; numbers are variants, as listed below. Colored: the variants that other figures show in "
    "detail; gray: the rest. A triangle at the lower edge stands for an accuracy below it, which is given beside its "
    "number. Intervals are in the figure of differences."
)


class _Panel(NamedTuple):
    """An axis of cost: its label, unit and measure."""

    label: str
    unit: float
    measure: CostMeasure


class _Point(NamedTuple):
    cell: Cell
    x: float
    y: float


def pareto_figure(experiment: Experiment, dataset: str) -> tuple[Figure, str]:
    """Accuracy over parameters, multiply-accumulates and, where it was measured, time for one data set; the caption."""
    panels = [
        _Panel("Parameters (M)", 1e6, parameter_cost),
        _Panel("Multiply-accumulates per image (M)", 1e6, macs_cost),
    ]
    cells = [c for c in experiment.cells if c.dataset == dataset]
    names, time = "parameters and over multiply-accumulates", ""
    at = timed_at(experiment)
    if at and not all(math.isnan(deployed_time_cost(experiment, c[:3]).value) for c in cells):
        panels.append(_Panel(f"Time of {at.batch_size} images (ms)", 1, deployed_time_cost))
        names = "parameters, over multiply-accumulates and over the measured time of a forward pass"
        time = _time(experiment, at, cells)
    many = len({c.variant for c in cells}) > IN_DETAIL
    figure = Figure()
    figure.suptitle(f"{dataset_label(dataset)}: accuracy and its cost")
    (_many if many else _few)(figure, experiment, cells, panels)
    look = _MANY if many else _FEW.format(level=percent(1 - experiment.config.statistics.alpha))
    return figure, _CAPTION.format(data=dataset_label(dataset), costs=names, time=time, look=look)


def _time(experiment: Experiment, at: TimedAt, cells: list[Cell]) -> str:
    """What the caption says of the measured time."""
    options = experiment.config.throughput
    shape = "x".join(map(str, options.input_shape)) if options else ""
    how, where = how_label(at.backend, at.precision), where_timed(latency_timings(experiment))
    linear = [c[:3] for c in cells if experiment.config.known_variants[c.variant].linear is not None]
    timed = [cell for cell in linear if not math.isnan(deployed_time_cost(experiment, cell).value)]
    form = " or ".join(dict.fromkeys(timed_form(experiment, cell) for cell in timed)) or FORM
    return _TIME.format(batch=at.batch_size, shape=shape, form=form, how=how, where=where)


def _points(experiment: Experiment, cells: list[Cell], panel: _Panel) -> list[_Point]:
    """The cells with a finished run and a known cost."""
    values = {cell: panel.measure(experiment, cell[:3]).value / panel.unit for cell in cells if cell.value.n}
    return [_Point(cell, x, cell.value.mean) for cell, x in values.items() if not math.isnan(x)]


def _few(figure: Figure, experiment: Experiment, cells: list[Cell], panels: list[_Panel]) -> None:
    """One panel per cost over one another: all networks in each, variants by color."""
    figure.set_size_inches(3.5, 0.7 + 2.0 * len(panels))
    front = Front(experiment, cells)
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
        axes.set_ylim(low, min(high, 100 + 0.04 * (100 - low)))
        _draw_front(axes, front, points)
        _scale(axes, [p.x for p in points])
    _legend(figure, experiment, cells)


def _variants(experiment: Experiment, cells: list[Cell]) -> list[str]:
    """The variants of some cells, in the order of the configuration."""
    return [v for v in experiment.config.variants if any(c.variant == v for c in cells)]


def _bars(axes: Axes, experiment: Experiment, points: list[_Point]) -> None:
    styles = variant_styles(experiment)
    markers = network_markers(experiment.config.architectures)
    sharing = Counter((p.cell.architecture, p.x) for p in points)
    drawn: Counter[tuple[str, float]] = Counter()
    for cell, x, y in points:
        low, high = (y, y) if math.isnan(cell.value.low) else (cell.value.low, cell.value.high)
        drawn[cell.architecture, x] += 1
        above = sharing[cell.architecture, x] - drawn[cell.architecture, x]  # points that lie on this one
        axes.errorbar(
            x,
            y,
            None if low == high else [[max(0.0, y - low)], [max(0.0, high - y)]],
            fmt=markers[cell.architecture],
            color=styles[cell.variant].color,
            ms=5 + 2.5 * above,
            capsize=2.5 + 1.5 * above,
            elinewidth=0.9 + 1.2 * above,
            mec="white",
            mew=0.5,
            ecolor=styles[cell.variant].color,
            zorder=3,
        )


def _many(figure: Figure, experiment: Experiment, cells: list[Cell], panels: list[_Panel]) -> None:
    """A row of panels per cost and a column per network, with numbered points and their key below."""
    networks = list(dict.fromkeys(c.architecture for c in cells))
    variants = _variants(experiment, cells)
    numbers = {v: i for i, v in enumerate(variants, 1)}
    width = max(5.4, 3.7 * len(networks))
    figure.set_size_inches(width, 0.6 + 2.4 * len(panels) + 0.8 * len(variants) / width)
    colors = numbered_key(figure, experiment, variants)
    grid = figure.subplots(len(panels), len(networks), squeeze=False)
    drawn = []
    front = Front(experiment, cells)
    for (panel, network), axes in zip(itertools.product(panels, networks), grid.flat, strict=True):
        points = _points(experiment, [c for c in cells if c.architecture == network], panel)
        axes.set_title(architecture_label(network))
        axes.set_xlabel(panel.label)
        axes.set_ylabel("Top-1 accuracy (%)")
        if not _nothing(axes, points):
            drawn.append((axes, points, _above_an_edge(axes, points, colors, front)))
    lay_out(figure)  # the numbers are placed for this layout
    for axes, points, shown in drawn:
        labels = [_number(numbers[p.cell.variant], p, at) for p, at in zip(points, shown, strict=True)]
        number_points(axes, [(p.x, p.y) for p in shown], labels)


def _number(number: int, point: _Point, shown: _Point) -> str:
    """The number of a variant, and its accuracy where the point is not shown in its place."""
    return f"{number}" if shown.y == point.y else f"{number}: {point.y:.1f} %"


def _above_an_edge(axes: Axes, points: list[_Point], colors: Mapping[str, str], front: Front) -> list[_Point]:
    """Draw the points, those below the edge as triangles at it; returns them as they are shown."""
    low = _lower_edge([p.y for p in points])
    edge = low - 0.05 * (max(p.y for p in points) - low)
    shown = [p._replace(y=edge) if p.y < low else p for p in points]
    for point, inside in zip(shown, (p.y >= low for p in points), strict=True):
        color = colors[point.cell.variant]
        size = 4.2 if color != OTHER else 3.4
        axes.plot(point.x, point.y, "o" if inside else "v", color=color, ms=size, mew=0, zorder=3)
    axes.margins(x=0.09, y=0.1)
    _draw_front(axes, front, [p for p in points if p.y >= low])
    _scale(axes, [p.x for p in points])
    return shown


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


def _draw_front(axes: Axes, front: Front, points: list[_Point]) -> None:
    places = sorted((p.x, p.y) for p in points if front.holds(p.cell, p.x, [(q.cell, q.x) for q in points]))
    if len(places) > 1:
        axes.plot(*zip(*places, strict=True), color=GUIDE, lw=0.8, zorder=1)


def _scale(axes: Axes, xs: list[float]) -> None:
    """Few numbers; a logarithmic axis where costs differ much."""
    if max(xs) <= 4 * min(xs):
        axes.xaxis.set_major_locator(MaxNLocator(6))
        return
    axes.set_xscale("log")
    log_ticks(axes.xaxis, xs)


def _legend(figure: Figure, experiment: Experiment, cells: list[Cell]) -> None:
    styles = variant_styles(experiment)
    markers = network_markers(experiment.config.architectures)
    variants = _variants(experiment, cells)
    networks = [a for a in experiment.config.architectures if any(c.architecture == a for c in cells)]
    handles = [*variant_bars(variants, styles), *network_shapes(networks, markers)]
    longest = max(len(str(h.get_label())) for h in handles)
    most = max(1, min(5, 55 // (longest + 5)))
    figure.legend(handles=handles, loc="outside lower center", ncols=-(-len(handles) // -(-len(handles) // most)))
