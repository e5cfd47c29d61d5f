"""What variants and forms need in memory, relative to the plain network."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from linconv.report.drawing import batch_axis, say_instead
from linconv.report.labels import architecture_label, legend_columns, variant_label, variant_styles
from linconv.report.source import Experiment
from linconv.report.speed import FORMS, how_label, shown_variants, usual_batch, where
from linconv.report.wording import detail_note

_PEAK = "peak_allocated_mib"
_AT = ["architecture", "activity", "batch_size"]
_CAPTION = (
    "Peak memory of a call relative to the plain network, by form at batch {batch}, {how}: of parameters, gradients, "
    "the optimiser's state, images and all that the call makes. The plain network's own is below each panel. "
    "{over}{buffers}Measured on {where}."
)
_OVER = "On the right the form auto over the batch. "
_BUFFERS = "On a CPU buffers of libraries, which are no tensors, are left out. "


def memory_figure(experiment: Experiment) -> tuple[Figure, str]:
    """A row per network, by form and, where there are several batches, over the batch; the caption.

    Shown are the first precision and backend that peak memory was measured with.
    """
    frame = experiment.throughput
    measured = frame[frame[_PEAK].notna()]
    backend, precision = measured.iloc[0][["backend", "precision"]]
    measured = measured[(measured["backend"] == backend) & (measured["precision"] == precision)]
    planned, shown = shown_variants(experiment, measured)
    measured = measured[measured["variant"].isin(["conv", *shown])]
    networks, activities = (list(dict.fromkeys(measured[name])) for name in ("architecture", "activity"))
    several = measured["batch_size"].nunique() > 1
    batch = usual_batch(measured)
    columns = len(activities) * (1 + several)
    figure = Figure(figsize=(max(3.5, 2.6 * columns), 0.9 + 2.3 * len(networks)))
    figure.suptitle("Peak memory relative to the plain network")
    grid = figure.subplots(len(networks), columns, squeeze=False)
    colours = {v: colour for v, (colour, _) in variant_styles(shown).items()}
    relative = _relative(measured)
    for network, line in zip(networks, grid, strict=True):
        line[0].set_ylabel("memory, relative")
        for column, activity in enumerate(activities):
            own = relative[(relative["architecture"] == network) & (relative["activity"] == activity)]
            title = f"{architecture_label(network)}, {activity}"
            axes = line[column]
            axes.set_title(title)
            _by_form(axes, own[own["batch_size"] == batch], colours)
            if several:
                axes = line[len(activities) + column]
                axes.set_title(f"{title}, auto")
                _over_batch(axes, own[own["form"] == "auto"], colours)
    handles = [Line2D([], [], ls="", marker="o", color=colours[v], label=variant_label(v)) for v in shown]
    labels = [str(handle.get_label()) for handle in handles]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=legend_columns(labels, int(15 * figure.get_figwidth())),
    )
    caption = _CAPTION.format(
        batch=batch,
        how=how_label(backend, precision),
        over=_OVER if several else "",
        buffers=_BUFFERS if "cpu" in set(measured["device"]) else "",
        where=where(measured),
    )
    return figure, caption + detail_note(experiment, planned)


def _relative(measured: pd.DataFrame) -> pd.DataFrame:
    """The rows of variants, with the plain network's `plain_mib` and the `share` of it that each takes."""
    plain = measured[measured["form"] == "plain"].drop_duplicates(_AT)[[*_AT, _PEAK]]
    arms = measured[measured["form"] != "plain"].merge(plain.rename(columns={_PEAK: "plain_mib"}), on=_AT)
    return arms.assign(share=arms[_PEAK] / arms["plain_mib"])


def _by_form(axes: Axes, arms: pd.DataFrame, colours: dict[str, str]) -> None:
    if _nothing(axes, arms):
        return
    forms = [form for form in FORMS if form in set(arms["form"])]
    aside = min(0.3, 0.08 * (len(colours) - 1))
    places = np.linspace(-aside, aside, len(colours))
    for place, (variant, colour) in zip(places, colours.items(), strict=True):
        own = arms[arms["variant"] == variant]
        x = [forms.index(form) + place for form in own["form"]]
        axes.plot(x, own["share"], "o", color=colour, ms=4.5, mew=0)
    axes.set_xticks(range(len(forms)), forms, rotation=20)
    axes.set_xlim(-0.5, len(forms) - 0.5)
    mib = arms["plain_mib"].iloc[0]
    axes.set_xlabel(f"plain: {mib:.{0 if mib >= 100 else 1}f} MiB")


def _over_batch(axes: Axes, arms: pd.DataFrame, colours: dict[str, str]) -> None:
    if _nothing(axes, arms):
        return
    for variant, colour in colours.items():
        own = arms[arms["variant"] == variant].sort_values("batch_size")
        axes.plot(own["batch_size"], own["share"], "-o", color=colour, ms=3.5, lw=1)
    batch_axis(axes, arms["batch_size"])
    axes.set_xlabel("images per call")


def _nothing(axes: Axes, arms: pd.DataFrame) -> bool:
    """Say so where there is nothing to draw, else mark where the plain network is."""
    if arms.empty:
        say_instead(axes, "not measured")
        return True
    axes.axhline(1, color="#999999", lw=0.6, ls=":", zorder=1)
    return False
