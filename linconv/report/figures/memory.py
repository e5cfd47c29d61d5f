"""What variants and forms need in memory, relative to the plain network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linconv.report.figures.drawing import batch_axis, say_instead
from linconv.report.figures.style import GUIDE, Style, joined, legend_below, variant_dots, variant_styles
from linconv.report.labels import architecture_label
from linconv.report.source import Experiment
from linconv.report.timings import TIMED_FORMS, how_label, shown_variants, usual_batch, where_timed
from linconv.report.wording import detail_note

_PEAK = "peak_allocated_mib"
_CALL = ["architecture", "activity", "batch_size"]
_CAPTION = (
    "Peak memory of a call relative to the plain network, by form at batch {batch}, {how}: of parameters, gradients, "
    "the optimizer's state, images and all that the call makes. The plain network's own is below each panel. "
    "{over}{buffers}Measured on {where}."
)
_OVER = "On the right the form auto over the batch. "
_BUFFERS = "On a CPU buffers of libraries, which are no tensors, are left out. "


def memory_figure(experiment: Experiment) -> tuple[Figure, str]:
    """A row per network, by form and, where there are several batches, over the batch; the caption.

    Shown are the first precision and backend that peak memory was measured with.
    """
    measured, backend, precision = _first_measured(experiment.throughput)
    planned, shown = shown_variants(experiment, measured)
    measured = measured[measured["variant"].isin(["conv", *shown])]
    networks, activities = (list(dict.fromkeys(measured[name])) for name in ("architecture", "activity"))
    several = measured["batch_size"].nunique() > 1
    batch = usual_batch(measured)
    columns = len(activities) * (1 + several)
    figure = Figure(figsize=(max(3.5, 2.6 * columns), 0.9 + 2.3 * len(networks)))
    figure.suptitle("Peak memory relative to the plain network")
    grid = figure.subplots(len(networks), columns, squeeze=False)
    every = variant_styles(experiment)
    styles = {v: every[v] for v in shown}
    relative = _relative(measured)
    for network, line in zip(networks, grid, strict=True):
        line[0].set_ylabel("memory, relative")
        for column, activity in enumerate(activities):
            own = relative[(relative["architecture"] == network) & (relative["activity"] == activity)]
            title = f"{architecture_label(network)}, {activity}"
            _by_form(line[column], title, own[own["batch_size"] == batch], styles)
            if several:
                _over_batch(line[len(activities) + column], f"{title}, auto", own[own["form"] == "auto"], styles)
    legend_below(figure, variant_dots(shown, styles))
    caption = _CAPTION.format(
        batch=batch,
        how=how_label(backend, precision),
        over=_OVER if several else "",
        buffers=_BUFFERS if "cpu" in set(measured["device"]) else "",
        where=where_timed(measured),
    )
    return figure, caption + detail_note(experiment, planned)


def _first_measured(frame: pd.DataFrame) -> tuple[pd.DataFrame, str, str]:
    """The timings with the first backend and precision in which a variant and the plain network were measured."""
    measured = frame[frame[_PEAK].notna()]
    how = ["backend", "precision"]
    backend, precision = _relative(measured, [*how, *_CALL]).iloc[0][how]
    return measured[(measured["backend"] == backend) & (measured["precision"] == precision)], backend, precision


def _relative(measured: pd.DataFrame, call: Sequence[str] = _CALL) -> pd.DataFrame:
    """The rows of variants, with the plain network's `plain_mib` and the `share` of it that each takes."""
    plain = measured[measured["form"] == "plain"].drop_duplicates(call)[[*call, _PEAK]]
    arms = measured[measured["form"] != "plain"].merge(plain.rename(columns={_PEAK: "plain_mib"}), on=list(call))
    return arms.assign(share=arms[_PEAK] / arms["plain_mib"])


def _by_form(axes: Axes, title: str, arms: pd.DataFrame, styles: Mapping[str, Style]) -> None:
    axes.set_title(title)
    if _nothing(axes, arms):
        return
    forms = [form for form in TIMED_FORMS if form in set(arms["form"])]
    aside = min(0.3, 0.08 * (len(styles) - 1))
    places = np.linspace(-aside, aside, len(styles))
    for place, (variant, style) in zip(places, styles.items(), strict=True):
        own = arms[arms["variant"] == variant]
        x = [forms.index(form) + place for form in own["form"]]
        axes.plot(x, own["share"], "o", color=style.color, ms=4.5, mew=0)
    axes.set_xticks(range(len(forms)), forms, rotation=20)
    axes.set_xlim(-0.5, len(forms) - 0.5)
    mib = arms["plain_mib"].iloc[0]
    axes.set_xlabel(f"plain: {mib:.{0 if mib >= 100 else 1}f} MiB")


def _over_batch(axes: Axes, title: str, arms: pd.DataFrame, styles: Mapping[str, Style]) -> None:
    axes.set_title(title)
    if _nothing(axes, arms):
        return
    for variant, style in styles.items():
        own = arms[arms["variant"] == variant].sort_values("batch_size")
        axes.plot(own["batch_size"], own["share"], f"o{joined(len(own))}", color=style.color, ms=3.5, lw=1)
    batch_axis(axes, arms["batch_size"])
    axes.set_xlabel("images per call")


def _nothing(axes: Axes, arms: pd.DataFrame) -> bool:
    """Say so where there is nothing to draw, else mark where the plain network is."""
    if arms.empty:
        say_instead(axes, "not measured")
        return True
    axes.axhline(1, color=GUIDE, lw=0.6, ls=":", zorder=1)
    return False
