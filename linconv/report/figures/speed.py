"""How much of the saved work becomes time: time over multiply-accumulates, and over the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from linconv.report.figures.drawing import batch_axis, say_instead
from linconv.report.figures.style import (
    BAND,
    GUIDE,
    SIGN,
    Style,
    joined,
    legend_below,
    network_markers,
    network_shapes,
    variant_bars,
    variant_styles,
)
from linconv.report.source import Experiment
from linconv.report.timings import macs_ratio, pruned_note, shown_variants, usual_batch, where_timed
from linconv.report.wording import detail_note

_CAPTION = (
    "How much of the saved work becomes time. Left: time of a call relative to the plain network over the "
    "multiply-accumulates of the form timed relative to the plain network (training: of forward and backward); on the "
    "diagonal all of the saving becomes time; bars are quartiles over rounds. Right: the same ratio over the batch, "
    "for inference in the form auto; the gray band is the widest A/A band. {where}"
)


class _Looks(NamedTuple):
    """How variants and networks are drawn."""

    styles: Mapping[str, Style]
    markers: Mapping[str, str]


def speed_figure(experiment: Experiment) -> tuple[Figure, str]:
    """Time over multiply-accumulates, and time over the batch, both relative to the plain network."""
    figure = Figure(figsize=(7.0, 3.4))
    figure.suptitle("Time relative to the plain network")
    left, right = figure.subplots(1, 2)
    frame = experiment.throughput
    timed = frame[(frame["status"] == "ok") & (frame["form"] != "plain")]
    planned, variants = shown_variants(experiment, timed)
    timed = timed[timed["variant"].isin(variants)]
    networks = list(dict.fromkeys(timed["architecture"]))
    looks = _Looks(variant_styles(experiment), network_markers(networks))
    _over_macs(left, experiment, timed[timed["form"].isin(("auto", "weight"))], looks)
    _over_batch(right, timed[(timed["form"] == "auto") & (timed["activity"] == "inference")], looks)
    activities = [
        Patch(fc=SIGN, ec=SIGN, label="filled: inference"),
        Patch(fc="white", ec=SIGN, label="hollow: training"),
    ]
    samples = [*variant_bars(variants, looks.styles), *network_shapes(networks, looks.markers), *activities]
    legend_below(figure, samples)
    sources = " ".join([f"Timed on {where_timed(frame)}.", *pruned_note(experiment, variants)])
    return figure, _CAPTION.format(where=sources) + detail_note(experiment, planned)


def _over_macs(axes: Axes, experiment: Experiment, timed: pd.DataFrame, looks: _Looks) -> None:
    batch = usual_batch(timed)
    shown = timed[timed["batch_size"] == batch]
    least, most = 0.4, max(1.2, *shown["ratio_high"])
    for _, arm in shown.iterrows():
        x = macs_ratio(experiment, arm["architecture"], arm["variant"], arm["activity"], arm["form"])
        if x is None:
            continue
        least, most = min(least, 0.9 * x, 0.9 * arm["ratio_low"]), max(most, x)
        color = looks.styles[arm["variant"]].color
        axes.errorbar(
            x,
            arm["ratio"],
            yerr=[[arm["ratio"] - arm["ratio_low"]], [arm["ratio_high"] - arm["ratio"]]],
            fmt=looks.markers[arm["architecture"]],
            color=color,
            mfc=color if arm["activity"] == "inference" else "white",
            ms=5,
            elinewidth=0.9,
        )
    low, high = least, 1.05 * most
    axes.plot([low, high], [low, high], color=GUIDE, lw=0.8, zorder=1)
    axes.axhline(1, color=GUIDE, lw=0.6, ls=":", zorder=1)
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.set_xlabel("multiply-accumulates, relative")
    axes.set_ylabel("time, relative")
    axes.set_title(f"Batch {batch}: auto and weight space")


def _over_batch(axes: Axes, timed: pd.DataFrame, looks: _Looks) -> None:
    axes.set_title("Inference, auto")
    axes.set_ylabel("time, relative")
    if timed.empty:
        say_instead(axes, "not timed")
        return
    for (architecture, variant), arms in timed.groupby(["architecture", "variant"], sort=False):
        ordered = arms.sort_values("batch_size")
        axes.plot(
            ordered["batch_size"],
            ordered["ratio"],
            joined(len(ordered)),
            color=looks.styles[str(variant)].color,
            marker=looks.markers[str(architecture)],
            ms=5,
            lw=1,
        )
    band = float(timed["band"].max())
    axes.axhspan(1 - band, 1 + band, color=BAND, zorder=0)
    axes.axhline(1, color=GUIDE, lw=0.6, ls=":", zorder=1)
    batch_axis(axes, timed["batch_size"])
    axes.set_xlabel("images per call")
