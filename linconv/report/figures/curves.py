"""Training curves: test accuracy and training loss per epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from linconv.report.figures.drawing import say_instead
from linconv.report.figures.style import LEAST_CURVE, legend_columns, variant_styles
from linconv.report.inference import Cell
from linconv.report.labels import place_label, variant_label
from linconv.report.source import RUN, Experiment
from linconv.report.wording import detail_note

_CAPTION = (
    "{place}: top-1 accuracy on the test set and cross-entropy on the training set per epoch. Lines are "
    "means over the finished runs of a variant, bands reach from the lowest to the highest of them."
)
_FEW = (
    "{place}: top-1 accuracy on the test set and cross-entropy on the training set after each epoch: means over the "
    "finished runs of a variant, with bars from the lowest to the highest of them. So few epochs make no curve."
)


def curves_figure(experiment: Experiment, dataset: str, architecture: str) -> tuple[Figure, str]:
    """Accuracy (left) and training loss (right) per epoch and variant, and the caption."""
    place = place_label(architecture, dataset)
    figure = Figure(figsize=(7.0, 2.9))
    figure.suptitle(place)
    left, right = figure.subplots(1, 2)
    runs = experiment.of_network(experiment.runs, dataset, architecture)
    finished = runs.loc[runs["status"] == "ok", RUN]
    planned = experiment.variants_of(architecture, dataset)
    shown = experiment.shown_in_detail(planned)
    finished = finished[finished["variant"].isin(shown)]
    history = experiment.of_network(experiment.frames["history"], dataset, architecture).merge(finished)
    cells = [c for c in experiment.cells_of(dataset, architecture) if c.variant in shown]
    drawn = _lines(left, experiment, cells, history.dropna(subset=["test_top1"]), "test_top1")
    losses = _lines(right, experiment, cells, history.dropna(subset=["train_loss"]), "train_loss")
    left.set_title("Test accuracy (%)")
    right.set_title("Training loss (cross-entropy)")
    for axes in (left, right):
        _epochs(axes, history)
    if len(losses) and 0 < 4 * losses.min() < losses.max():
        right.set_title("Training loss (cross-entropy, log scale)")
        _log_scale(right, losses)
    if len(drawn):
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels, 105))
    few = not history.empty and history["epoch"].max() < LEAST_CURVE
    return figure, (_FEW if few else _CAPTION).format(place=place) + detail_note(experiment, planned)


def _epochs(axes: Axes, history: pd.DataFrame) -> None:
    axes.set_xlabel("epoch")
    if not history.empty:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.margins(x=0.02)
    last = history["epoch"].max()
    if last < LEAST_CURVE:  # points: no ticks beside them
        axes.set(xlim=(0.5, last + 0.5), xticks=range(1, int(last) + 1))


def _log_scale(axes: Axes, values: np.ndarray) -> None:
    axes.set_yscale("log")
    if values.max() < 1000 * values.min():
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())


def _lines(axes: Axes, experiment: Experiment, cells: Sequence[Cell], history: pd.DataFrame, metric: str) -> np.ndarray:
    """Draw one line per variant and return the values they were made of."""
    styles = variant_styles(experiment)
    for cell in cells:
        own = history[history["variant"] == cell.variant]
        by_epoch = own.groupby("epoch")[metric].agg(["mean", "min", "max"])
        color, dashes = styles[cell.variant]
        n, label = cell.value.n, variant_label(cell.variant)
        if n < cell.planned:
            label += f" ({n} of {cell.planned} runs)"
        if len(by_epoch) < LEAST_CURVE:
            _points(axes, by_epoch, color, label)
            continue
        axes.plot(by_epoch.index, by_epoch["mean"], dashes, color=color, label=label)
        if n > 1:
            axes.fill_between(by_epoch.index, by_epoch["min"], by_epoch["max"], color=color, alpha=0.18, lw=0)
    if history.empty:
        say_instead(axes, "no finished run")
    return history[metric].to_numpy(dtype=float)


def _points(axes: Axes, by_epoch: pd.DataFrame, color: str, label: str) -> None:
    """A point with a bar for each epoch."""
    beyond = [by_epoch["mean"] - by_epoch["min"], by_epoch["max"] - by_epoch["mean"]]
    axes.errorbar(by_epoch.index, by_epoch["mean"], beyond, fmt="o", ms=4, color=color, elinewidth=0.9, label=label)
