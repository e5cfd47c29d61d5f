"""Learning curves of a cell's runs as small vector drawings that take the page's colors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from linconv.report.figures.style import LEAST_CURVE
from linconv.results import Epoch, RunResult

WIDTH, HEIGHT = 320, 150
POINTS_PER_CURVE = 100  # drawn at most


class Curve(NamedTuple):
    """A polyline: whose (test or train) and its points in the drawing's units."""

    of: str
    points: str


class Plot(NamedTuple):
    """A drawing of WIDTH x HEIGHT: what it shows, its text for who cannot see it, the axes' ends, the curves."""

    title: str
    description: str
    low: str
    high: str
    epochs: int
    curves: list[Curve]


def history_plots(runs: Sequence[RunResult]) -> list[Plot]:
    """Accuracy and loss by epoch, test and training part, one curve per run.

    Nothing without a finite value, and nothing of so few epochs that they make no curve: the table has their values.
    """
    if max((len(run.history) for run in runs), default=0) < LEAST_CURVE:
        return []
    accuracy = _plot("Accuracy (%)", ("test_top1", "train_top1"), "{:.1f}", float, runs)
    loss = _plot("Cross-entropy (log scale)", ("test_loss", "train_loss"), "{:.2g}", _log, runs)
    return [plot for plot in (accuracy, loss) if plot is not None]


def _log(loss: float) -> float:
    return math.log10(max(loss, 1e-6))  # 0 has no place on the scale


def _plot(
    title: str, fields: tuple[str, str], form: str, scale: Callable[[float], float], runs: Sequence[RunResult]
) -> Plot | None:
    values = [v for field in fields for v in _values(runs, field)]
    if not values:
        return None
    low, high = min(values), max(values)
    epochs = max(e.epoch for run in runs for e in run.history)
    curves = [
        Curve(name, points)
        for field, name in reversed(list(zip(fields, ("test", "train"), strict=True)))
        for run in runs
        if (points := _points(run.history, field, scale, scale(low), scale(high), epochs))
    ]
    last = [v for run in runs if (v := getattr(run.history[-1], fields[0])) is not None]
    ends = f", on the test set {_range(last, form)} at the end" if last else ""
    description = f"{title} by epoch of {len(runs)} runs, from {form.format(low)} to {form.format(high)}{ends}"
    return Plot(title, description, form.format(low), form.format(high), epochs, curves)


def _values(runs: Sequence[RunResult], field: str) -> list[float]:
    """The finite values of a field in all epochs of some runs."""
    return [value for run in runs for e in run.history if (value := getattr(e, field)) is not None]


def _range(values: Sequence[float], form: str) -> str:
    ends = dict.fromkeys((form.format(min(values)), form.format(max(values))))
    return " to ".join(ends)


def _points(
    history: Sequence[Epoch], field: str, scale: Callable[[float], float], low: float, high: float, epochs: int
) -> str:
    step = max(1, -(-len(history) // POINTS_PER_CURVE))
    chosen = [*history[:-1:step], history[-1]]
    span, last = (high - low) or 1.0, max(1, epochs - 1)
    return " ".join(
        f"{(e.epoch - 1) / last * WIDTH:.1f},{(high - scale(value)) / span * HEIGHT:.1f}"
        for e in chosen
        if (value := getattr(e, field)) is not None
    )
