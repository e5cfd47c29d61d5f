"""Redundancy of the filters layer by layer, before and after training."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from linconv.report.drawing import say_instead
from linconv.report.labels import legend_columns, place_label, variant_label, variant_styles
from linconv.report.source import Experiment
from linconv.report.wording import detail_note

_PANELS = (
    ("share_above_0_3", "Pairs with |corr| > 0.3 (%)"),
    ("share_above_0_5", "Pairs with |corr| > 0.5 (%)"),
    ("share_above_0_7", "Pairs with |corr| > 0.7 (%)"),
    ("primary_mean_abs_correlation", "Mean |corr| of primaries"),
    ("effective_rank", "Effective rank / min(N, D)"),
    ("variance_entropy", "Variance entropy (max. 1)"),
)
# Left out where no run has them: results of before they were measured.
_KERNEL_PANELS = (
    ("kernel_sparsity", "Kernels near zero (%)"),
    ("kernel_variance_entropy", "Kernel variance entropy"),
    ("orthogonality", "Orthogonality"),
)
_KERNEL_CAPTION = (
    " Bottom row: metrics of the CNN Filter DB: the share of k × k kernels whose numbers are all below a hundredth of "
    "the layer's largest, the entropy (base 10) of the variance explained by the principal components of those kernels "
    "(at most log10 k², 0.95 for 3 × 3; none for 1 × 1), and 1 less the mean absolute cosine between two filters."
)
_SHARES = ("effective_rank", "variance_entropy", "kernel_variance_entropy", "orthogonality")
_CAPTION = (
    "{place}: redundancy of the filters of each convolution (in the order of execution), means over the "
    "finished runs; dashed before training, solid after it. Pearson correlations of pairs of filters; effective rank "
    "(exponential of the entropy of the normalised singular values) divided by the largest possible, the smaller of N "
    "filters and D numbers each; entropy of the variance that the principal components explain, divided by the largest "
    "possible. Low correlation, high rank and high entropy mean little redundancy.{missing}"
)


def redundancy_layers(experiment: Experiment, dataset: str, architecture: str) -> tuple[Figure, str]:
    """Six or nine panels over the layers of a network, one line per variant and stage, and the caption."""
    place = place_label(architecture, dataset)
    planned = experiment.variants_of(architecture, dataset)
    means = experiment.of_network(experiment.layer_means, dataset, architecture)
    means = means[means["variant"].isin(experiment.shown_in_detail(planned))]
    means = means.assign(effective_rank=means["effective_rank"] / means[["filters", "filter_size"]].min(axis=1))
    for name in (column for column, title in (*_PANELS, *_KERNEL_PANELS) if title.endswith("(%)")):
        means[name] = 100 * means[name]
    kernels = means[[column for column, _ in _KERNEL_PANELS]].notna().any(axis=None)
    shown = (*_PANELS, *_KERNEL_PANELS) if kernels else _PANELS
    rows = len(shown) // 3
    figure = Figure(figsize=(7.0, 2.0 * rows))
    figure.suptitle(f"{place}: redundancy of the filters")
    for axes, (column, title) in zip(figure.subplots(rows, 3).flat, shown, strict=True):
        _panel(axes, experiment, means, column, title)
    styles = variant_styles(experiment.config.variants)
    drawn = [v for v in planned if v in set(means["variant"])]
    handles = [Line2D([], [], color=styles[v][0], ls=styles[v][1], label=variant_label(v)) for v in drawn]
    before = "before" in set(means["stage"])
    if before:
        handles += [
            Line2D([], [], color="#777777", ls=(0, (2, 2)), lw=0.9, label="before training"),
            Line2D([], [], color="#777777", label="after"),
        ]
    if handles:
        columns = legend_columns([str(h.get_label()) for h in handles], 105)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    missing = "" if before else " The filters before training were not measured when these runs were made."
    caption = _CAPTION.format(place=place, missing=missing) + (_KERNEL_CAPTION if kernels else "")
    return figure, caption + detail_note(experiment, planned)


def _panel(axes: Axes, experiment: Experiment, means: pd.DataFrame, column: str, title: str) -> None:
    axes.set_title(title)
    styles = variant_styles(experiment.config.variants)
    known = means.dropna(subset=[column])
    for variant in (v for v in experiment.config.variants if v in set(means["variant"])):
        colour, dashes = styles[variant]
        own = known[known["variant"] == variant]
        for stage, style, width in (("before", (0, (2, 2)), 0.9), ("after", dashes, 1.3)):
            line = own[own["stage"] == stage]
            marker = "o" if stage == "after" and len(line) <= 12 else ""
            axes.plot(line["position"], line[column], ls=style, lw=width, color=colour, marker=marker, ms=3)
    if known.empty:
        text = "not measured in\nthese runs" if len(means) else "no finished run"
        say_instead(axes, text)
        return
    axes.set_ylim(0, 1.05 if column in _SHARES or known[column].max() == 0 else None)
    axes.margins(x=0.04)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.set_xlabel("layer", labelpad=1)
