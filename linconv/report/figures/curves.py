"""Training curves: test accuracy and training loss per epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from linconv.report.figures.drawing import say_instead
from linconv.report.figures.style import legend_columns, variant_styles
from linconv.report.inference import Cell
from linconv.report.labels import place_label, variant_label
from linconv.report.source import RUN, Experiment
from linconv.report.wording import detail_note

_CAPTION = (
    "{place}: top-1 accuracy on the test set and cross-entropy on the training set per epoch. Lines are "
    "means over the finished runs of a variant, bands reach from the lowest to the highest of them."
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
    return figure, _CAPTION.format(place=place) + detail_note(experiment, planned)


def _epochs(axes: Axes, history: pd.DataFrame) -> None:
    axes.set_xlabel("epoch")
    if not history.empty:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.margins(x=0.02)
    if history["epoch"].max() == 1:  # one epoch is a point: no ticks beside it
        axes.set(xlim=(0.5, 1.5), xticks=[1])


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
        marker = "o" if len(by_epoch) == 1 else ""
        axes.plot(by_epoch.index, by_epoch["mean"], dashes, marker=marker, ms=4, color=color, label=label)
        if n > 1:
            axes.fill_between(by_epoch.index, by_epoch["min"], by_epoch["max"], color=color, alpha=0.18, lw=0)
    if history.empty:
        say_instead(axes, "no finished run")
    return history[metric].to_numpy(dtype=float)
