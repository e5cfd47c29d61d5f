"""Images per second against the batch: the plain network and the variants, a figure per network."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from linconv.report.figures.drawing import batch_axis, log_ticks, say_instead
from linconv.report.figures.style import BLACK, Style, joined, legend_below, variant_styles
from linconv.report.labels import architecture_label, variant_label
from linconv.report.source import Experiment
from linconv.report.timings import how_label, shown_variants, where_timed
from linconv.report.wording import detail_note

# The forms that are drawn: what runs by default, and the faster exact form of every layer.
_LINES = {"plain": "-", "auto": "-", "optimized": "--"}
_CAPTION = (
    "{network}: images per second over images per call, both on logarithmic axes, for the plain network and for "
    "the variants in the form auto, medians over rounds; a training step is a whole one.{dashed}{left_out} Ratios to "
    "the plain network of the same round, which are more exact, are in the figure of speed. Timed on {where}."
)
_DASHED = " Dashed and hollow: optimized for inference, with the faster exact form of every layer."
_LEFT_OUT = " What does not fit the memory or the device is left out."


def throughput_figure(experiment: Experiment, architecture: str) -> tuple[Figure, str]:
    """Panels of inference and training, a row per precision and backend, and the caption."""
    frame = experiment.throughput
    planned, shown = shown_variants(experiment, frame)
    drawn = ["conv", *shown]
    of_network = frame[frame["architecture"] == architecture]
    own = of_network[of_network["variant"].isin(drawn) & of_network["form"].isin(_LINES)]
    activities = list(dict.fromkeys(of_network["activity"]))
    hows = list(dict.fromkeys(zip(of_network["backend"], of_network["precision"], strict=True)))
    figure = Figure(figsize=(max(3.5, 3.5 * len(activities)), 0.9 + 2.4 * len(hows)))
    figure.suptitle(f"{architecture_label(architecture)}: images per second")
    grid = figure.subplots(len(hows), len(activities), squeeze=False)
    styles = variant_styles(experiment)
    for (backend, precision), line in zip(hows, grid, strict=True):
        for activity, axes in zip(activities, line, strict=True):
            at = (own["backend"] == backend) & (own["precision"] == precision) & (own["activity"] == activity)
            axes.set_title(f"{activity.capitalize()}, {how_label(backend, precision)}")
            _panel(axes, own[at & (own["status"] == "ok")], styles)
    handles = [Line2D([], [], color=styles[v].color, marker="o", ms=4, label=variant_label(v)) for v in drawn]
    dashed = "optimized" in set(own["form"])
    if dashed:
        handles.append(Line2D([], [], color=BLACK, ls="--", marker="o", ms=4, mfc="white", label="optimized"))
    legend_below(figure, handles)
    caption = _CAPTION.format(
        network=architecture_label(architecture),
        dashed=_DASHED if dashed else "",
        left_out=_LEFT_OUT if (own["status"] != "ok").any() else "",
        where=where_timed(frame),
    )
    return figure, caption + detail_note(experiment, planned)


def _panel(axes: Axes, timed: pd.DataFrame, styles: Mapping[str, Style]) -> None:
    axes.set_xlabel("images per call")
    axes.set_ylabel("images per second")
    if timed.empty:
        say_instead(axes, "not timed")
        return
    for (variant, form), arms in timed.groupby(["variant", "form"], sort=False):
        ordered = arms.drop_duplicates("batch_size").sort_values("batch_size")  # the plain network is timed twice
        axes.plot(
            ordered["batch_size"],
            ordered["images_per_second"],
            color=styles[str(variant)].color,
            ls=_LINES[str(form)] if joined(len(ordered)) else "",
            marker="o",
            mfc="white" if form == "optimized" else None,
            ms=3.5,
            lw=1.6 if form == "plain" else 1,
            zorder=3 if form == "plain" else 2,
        )
    batch_axis(axes, timed["batch_size"])
    axes.set_yscale("log")
    log_ticks(axes.yaxis, timed["images_per_second"])
