"""Redundancy of the filters layer by layer, before and after training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from linconv.report.figures.drawing import say_instead
from linconv.report.figures.style import FAINT, Style, legend_below, variant_styles
from linconv.report.labels import place_label, variant_label
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
    " Metrics of the CNN Filter DB: the share of k × k kernels whose numbers are all below a hundredth of "
    "the layer's largest, the entropy (base 10) of the variance explained by the principal components of those kernels "
    "(at most log10 k², 0.95 for 3 × 3; none for 1 × 1), and as orthogonality 1 less the mean absolute cosine between "
    "two filters."
)
_BEFORE = (0, (2, 2))  # dashes of the lines before training
_SHARES = ("effective_rank", "variance_entropy", "kernel_variance_entropy", "orthogonality")
_CAPTION = (
    "{place}: redundancy of the filters of each convolution (in the order of execution), means over the "
    "finished runs; dashed before training, solid after it. Pearson correlations of pairs of filters; effective rank "
    "(exponential of the entropy of the normalized singular values) divided by the largest possible, the smaller of N "
    "filters and D numbers each; entropy of the variance that the principal components explain, divided by the largest "
    "possible. Low correlation, high rank and high entropy mean little redundancy.{missing}"
)


def redundancy_figure(experiment: Experiment, dataset: str, architecture: str) -> tuple[Figure, str]:
    """Up to nine panels over the layers of a network, one line per variant and stage, and the caption.

    A panel whose values are 0 in every layer is left out, and the caption names it.
    """
    place = place_label(architecture, dataset)
    planned = experiment.variants_of(architecture, dataset)
    means = _shown_means(experiment, dataset, architecture, planned)
    kernels = means[[column for column, _ in _KERNEL_PANELS]].notna().any(axis=None)
    measured = (*_PANELS, *_KERNEL_PANELS) if kernels else _PANELS
    zero = [panel for panel in measured if means[panel[0]].max() == 0]
    shown = [panel for panel in measured if panel not in zero]
    rows = math.ceil(len(shown) / 3)
    figure = Figure(figsize=(7.0, 2.0 * rows))
    figure.suptitle(f"{place}: redundancy of the filters")
    drawn = [v for v in experiment.config.variants if v in set(means["variant"])]
    styles = {v: style for v, style in variant_styles(experiment).items() if v in drawn}
    grid = figure.subplots(rows, 3, squeeze=False).flat
    for axes in grid[len(shown) :]:
        axes.remove()
    for axes, (column, title) in zip(grid, shown, strict=False):
        axes.set_title(title)
        _lines(axes, means, column, styles)
        _axes(axes, means, column)
    before = "before" in set(means["stage"])
    legend_below(figure, _samples(styles, before=before))
    missing = "" if before else " The filters before training were not measured when these runs were made."
    caption = _CAPTION.format(place=place, missing=missing) + (_KERNEL_CAPTION if kernels else "") + _zero_note(zero)
    return figure, caption + detail_note(experiment, planned)


def _zero_note(panels: Sequence[tuple[str, str]]) -> str:
    """Which panels are not drawn since there is no redundancy of their kind."""
    names = [title.removesuffix(" (%)") for _, title in panels]
    return f" Not drawn, since they are 0 in every layer: {', '.join(names)}." if names else ""


def _shown_means(experiment: Experiment, dataset: str, architecture: str, planned: Sequence[str]) -> pd.DataFrame:
    """The means of the variants that are shown; shares in percent, ranks relative to the largest possible."""
    means = experiment.of_network(experiment.layer_means, dataset, architecture)
    means = means[means["variant"].isin(experiment.shown_in_detail(planned))]
    means = means.assign(effective_rank=means["effective_rank"] / means[["filters", "filter_size"]].min(axis=1))
    shares = [column for column, title in (*_PANELS, *_KERNEL_PANELS) if title.endswith("(%)")]
    return means.assign(**{name: 100 * means[name] for name in shares})


def _samples(styles: Mapping[str, Style], *, before: bool) -> list[Line2D]:
    """The samples of the legend: the variants, and the stages where there are two."""
    samples = [Line2D([], [], color=s.color, ls=s.dashes, label=variant_label(v)) for v, s in styles.items()]
    if before:
        samples.append(Line2D([], [], color=FAINT, ls=_BEFORE, lw=0.9, label="before training"))
        samples.append(Line2D([], [], color=FAINT, label="after"))
    return samples


def _lines(axes: Axes, means: pd.DataFrame, column: str, styles: Mapping[str, Style]) -> None:
    """A line per variant and stage over the layers."""
    known = means.dropna(subset=[column])
    for variant, style in styles.items():
        own = known[known["variant"] == variant]
        before, after = (own[own["stage"] == stage] for stage in ("before", "after"))
        axes.plot(before["position"], before[column], ls=_BEFORE, lw=0.9, color=style.color, ms=3)
        marker = "o" if len(after) <= 12 else ""
        axes.plot(after["position"], after[column], ls=style.dashes, lw=1.3, color=style.color, marker=marker, ms=3)


def _axes(axes: Axes, means: pd.DataFrame, column: str) -> None:
    """Limits and ticks, or why there is nothing to show."""
    highest = means[column].max()
    if pd.isna(highest):
        say_instead(axes, "not measured in\nthese runs" if len(means) else "no finished run")
        return
    axes.set_ylim(0, 1.05 if column in _SHARES else None)
    axes.margins(x=0.04)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.set_xlabel("layer", labelpad=1)
