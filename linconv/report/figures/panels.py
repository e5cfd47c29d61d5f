"""The paper's figure of a network: accuracy, parameters and operations over the variants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from linconv.report.claims.scope import COMPLETE, share_of_epochs
from linconv.report.costs import macs_cost
from linconv.report.figures.drawing import say_instead
from linconv.report.figures.style import MISSING_COLOR, variant_styles
from linconv.report.labels import place_label, variant_label
from linconv.report.source import Experiment
from linconv.report.wording import detail_note

_CAPTION = (
    "{place}: top-1 accuracy on the test set {epoch} (small points: runs; large point and "
    "bar: mean and standard deviation), parameters, and {operations} for one image, per variant. The "
    "paper draws the three quantities over one another with three y axes; panels side by side keep each readable."
)


def panels_figure(experiment: Experiment, dataset: str, architecture: str) -> tuple[Figure, str]:
    """Three panels with one x axis, the variants, and the caption (after the paper's figures per network)."""
    planned = experiment.variants_of(architecture, dataset)
    variants = experiment.shown_in_detail(planned)
    place = place_label(architecture, dataset)
    figure = Figure(figsize=(7.0, 2.5))
    figure.suptitle(place)
    left, middle, right = figure.subplots(1, 3)
    _accuracy(left, experiment, dataset, architecture, variants)
    models = [experiment.model(architecture, v) for v in variants]
    styles = variant_styles(experiment)
    colors = [styles[v].color for v in variants]
    _bars(middle, colors, [math.nan if m is None else m["params"] / 1e6 for m in models], "Parameters (M)", 2)
    reproduced = share_of_epochs(experiment, dataset, architecture) >= COMPLETE
    if reproduced:
        flops = [math.nan if m is None else m["flops_paper"] / 1e9 for m in models]
        _bars(right, colors, flops, "FLOPs, paper's rule (B)", 3)
    else:
        macs = [macs_cost(experiment, (dataset, architecture, v)).value / 1e6 for v in variants]
        _bars(right, colors, macs, "Multiply-accumulates (M)", 1)
    labels = [variant_label(v) for v in variants]
    crowded = len("  ".join(labels)) > 28
    turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    for axes in (left, middle, right):
        axes.set_xlim(-0.6, len(variants) - 0.4)
        axes.set_xticks(range(len(variants)), labels, **turned)
        axes.tick_params(axis="x", length=0)
    operations = "FLOPs by the paper's rule" if reproduced else "multiply-accumulates in the form auto"
    caption = _CAPTION.format(place=place, epoch=experiment.reported_epoch, operations=operations)
    return figure, caption + detail_note(experiment, planned)


def _accuracy(axes: Axes, experiment: Experiment, dataset: str, architecture: str, variants: Sequence[str]) -> None:
    cells = [c for c in experiment.cells_of(dataset, architecture) if c.variant in variants]
    runs = experiment.of_network(experiment.runs, dataset, architecture)
    styles = variant_styles(experiment)
    axes.set_title("Accuracy (%)")
    gaps = []
    for x, cell in enumerate(cells):
        color = styles[cell.variant].color
        n, mean, sd = cell.value[:3]
        own = runs[(runs["variant"] == cell.variant) & (runs["status"] == "ok")]["top1"].dropna()
        if n > 1:
            axes.plot([x - 0.22] * len(own), own, "o", ms=3, color=color, alpha=0.55, mew=0)
            axes.errorbar(x, mean, sd, fmt="o", ms=5, color=color, capsize=3, elinewidth=1.2)
        elif n:
            axes.plot(x, mean, "o", ms=5, color=color)
        if n < cell.planned:
            gaps.append((x, f"{n} of {cell.planned}\nruns"))
    axes.margins(y=0.15)
    axes.yaxis.set_major_locator(_locator())
    if not any(cell.value.n for cell in cells):
        axes.set_yticks([])
    for x, text in gaps:
        axes.annotate(
            text,
            (x, 0.02),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=6,
            color=MISSING_COLOR,
        )
    if gaps:
        low, high = axes.get_ylim()
        axes.set_ylim(low - 0.25 * (high - low), high)  # room for the note below the points


def _bars(axes: Axes, colors: Sequence[str], values: Sequence[float], title: str, digits: int) -> None:
    axes.set_title(title)
    known = [0.0 if math.isnan(v) else v for v in values]
    bars = axes.bar(range(len(values)), known, width=0.62, color=list(colors))
    labels = ["n/a" if math.isnan(v) else f"{v:.{digits}f}" for v in values]
    axes.bar_label(bars, labels, fontsize=6.5 if len(values) <= 5 else 5.5 if len(values) <= 7 else 4.5, padding=1.5)
    axes.set_ylim(0, 1.14 * max(known) or 1)
    axes.yaxis.set_major_locator(_locator())
    if not any(known):
        say_instead(axes, "not counted")


def _locator() -> MaxNLocator:
    return MaxNLocator(5, steps=[1, 2, 5, 10])
