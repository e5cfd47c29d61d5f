"""The answer's picture: what a variant loses in accuracy, over each of the costs that it saves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from linconv.report.answer.model import Answer, Row, answers
from linconv.report.costs import Cost, latency_timings, timed_at
from linconv.report.figures.drawing import STYLE, lay_out, say_instead, write
from linconv.report.figures.style import FAINT, MARGIN, Style, legend_below, variant_dots, variant_styles
from linconv.report.inference import Place
from linconv.report.labels import place_label, variant_label
from linconv.report.source import Experiment
from linconv.report.text import percent
from linconv.report.timings import how_label, where_timed

_CAPTION = (
    "{place}: top-1 accuracy minus that of the plain network (Conv) over parameters, multiply-accumulates per image in "
    "the form auto{time}, each as a share of the plain network's. Left is cheaper, up is more accurate. "
    "Bars are {level} intervals for other seeds and other test images, for all variants of the experiment at "
    "once{shaded}.{few}"
)
_CLOSE = 0.01  # costs nearer than this lie on one another


def answer_figure(experiment: Experiment, dataset: str, architecture: str, *, tall: bool = False) -> tuple[Figure, str]:
    """A panel per cost that is known, side by side or, for a narrow page, below one another; the caption."""
    answer = next(a for a in answers(experiment) if a.place == (dataset, architecture))
    place = place_label(architecture, dataset)
    at = timed_at(experiment)
    measures: list[tuple[str, Callable[[Row], Cost]]] = [
        ("Parameters", lambda row: row.parameters),
        ("Multiply-accumulates", lambda row: row.macs),
    ]
    if at is not None and any(not math.isnan(row.time.ratio) for row in answer.rows if row.variant != "conv"):
        measures.append((f"Time of {at.batch_size} images", lambda row: row.time))
    size = (3.5, 0.9 + 2.0 * len(measures)) if tall else (0.4 + 2.2 * len(measures), 2.9)
    figure = Figure(figsize=size)
    figure.suptitle(f"{place}: accuracy minus Conv's{'' if tall else ' (points)'}")
    shape = (len(measures), 1) if tall else (1, len(measures))
    panels = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
    styles = variant_styles(experiment)
    for axes, (title, measure) in zip(panels, measures, strict=True):
        _panel(axes, answer, styles, measure)
        axes.set_title(title)
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("% of Conv's")
    for axes in panels if tall else panels[:1]:
        axes.set_ylabel("points")
    legend_below(figure, variant_dots([row.variant for row in answer.rows], styles))
    return figure, _caption(answer, place, timed=len(measures) == 3)


def write_answer(
    experiment: Experiment, place: Place, target: Path | IO[bytes], *, tall: bool = False, **options: Any
) -> None:
    """Draw the answer's picture alone, in the style of this project, as a PNG; `options` are those of `write`."""
    with matplotlib.rc_context(fname=STYLE):
        figure, _ = answer_figure(experiment, *place, tall=tall)
        lay_out(figure)
        write(figure, target, "png", **options)


def _caption(answer: Answer, place: str, *, timed: bool) -> str:
    experiment, time = answer.experiment, ""
    at = timed_at(experiment)
    if timed and at is not None:
        forms = " or ".join(dict.fromkeys(row.form for row in answer.rows if row.variant in answer.linear and row.form))
        where = where_timed(latency_timings(experiment))
        form = f" in the form {forms}" if forms else ""
        time = f", and measured time of inference{form} ({how_label(at.backend, at.precision)}; {where})"
    margin = experiment.margins.get(answer.place)
    shaded = f"; shaded: the margin of ±{margin.points:.2f} points" if margin and margin.meaningful else ""
    alone = [variant_label(row.variant) for row in answer.rows if row.to_plain is not None and not row.to_plain.tested]
    absent = len(experiment.cells_of(*answer.place)) - len(answer.rows)
    more = f" Not drawn: {absent} further variants of the experiment." if absent else ""
    few = f" Too few runs for an interval: {', '.join(alone)}." if alone else ""
    level = percent(1 - experiment.config.statistics.alpha)
    return _CAPTION.format(place=place, time=time, level=level, shaded=shaded, few=few + more)


def _panel(axes: Axes, answer: Answer, styles: dict[str, Style], measure: Callable[[Row], Cost]) -> None:
    axes.axhline(0, color=FAINT, lw=0.8, zorder=1)
    margin = answer.experiment.margins.get(answer.place)
    if margin and margin.meaningful:
        axes.axhspan(-margin.points, margin.points, color=MARGIN, alpha=0.10, lw=0, zorder=0)
    rows = [row for row in answer.rows if not math.isnan(measure(row).ratio)]
    rows = [row for row in rows if row.variant == "conv" or row.to_plain is not None]
    if not rows:
        say_instead(axes, "not counted")
        return
    means = [0.0 if row.to_plain is None else row.to_plain.mean for row in rows]
    sizes = _sizes([measure(row).ratio for row in rows], means)
    for row, ms in zip(rows, sizes, strict=True):
        found = row.to_plain
        mean, low, high = (0.0, 0.0, 0.0) if found is None else (found.mean, found.low, found.high)
        bars = None if found is None or not found.tested else [[mean - low], [high - mean]]
        color = styles[row.variant].color
        axes.errorbar(
            100 * measure(row).ratio,
            mean,
            bars,
            fmt="o",
            ms=ms,
            color=color,
            mec="white",
            mew=0.4,
            capsize=ms / 2,
            elinewidth=ms / 4,
            zorder=3,
        )
    axes.margins(x=0.12, y=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _sizes(costs: Sequence[float], means: Sequence[float]) -> list[float]:
    """Sizes of points: of those that lie on one another the later ones, which are drawn above, are smaller."""
    drawn: Counter[int] = Counter()
    near = 0.08 * (max(means) - min(means))
    points = list(zip(costs, means, strict=True))
    groups = [
        next(i for i, (u, v) in enumerate(points) if abs(u - x) < _CLOSE and abs(v - y) <= near) for x, y in points
    ]
    total, sizes = Counter(groups), []
    for group in groups:
        drawn[group] += 1
        sizes.append(4.5 + 1.8 * min(3, total[group] - drawn[group]))
    return sizes
