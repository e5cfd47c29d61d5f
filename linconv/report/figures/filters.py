"""Maps of the metrics of trained filters over layers and variants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from linconv.report.figures.style import HATCH, NO_VALUE
from linconv.report.inference import Cell
from linconv.report.labels import place_label, shortened, variant_label
from linconv.report.source import Experiment

# Column of layers.csv -> title, whether a high value means much redundancy.
_PANELS = {
    "mean_abs_correlation": ("Mean |corr|", True),
    "effective_rank": ("Rank / min(N, D)", False),
    "variance_entropy": ("Variance entropy", False),
    "kernel_sparsity": ("Kernel sparsity", True),
    "kernel_variance_entropy": ("Kernel entropy", False),
    "orthogonality": ("Orthogonality", False),
}
_CAPTION = (
    "{place}: metrics of the filters of each convolution (columns, in the order of execution) after training, means "
    "over the finished runs, of all variants (rows). Darker is more redundant, on a scale of each panel's own. "
    "Mean |corr|: absolute Pearson correlations of pairs of filters. Rank: effective rank (exponential of the entropy "
    "of the normalized singular values), divided by the largest possible, the smaller of N filters and D numbers each. "
    "Variance entropy: that of the variance which the principal components of the filters explain, divided by the "
    "largest possible. Metrics of the CNN Filter DB: the share of k × k kernels whose numbers are all below a "
    "hundredth of the layer's largest (kernel sparsity), the entropy (base 10) of the variance that the principal "
    "components of those kernels explain (kernel entropy, at most log10 k², 0.95 for 3 × 3), and 1 less the mean "
    "absolute cosine between two filters (orthogonality). Hatched: no finished run, not measured, or not defined, as "
    "the entropy of 1 × 1 kernels."
)
_LEAST_SPAN = 0.1  # of a panel's scale, so that noise is not drawn as contrast
_LARGEST, _SMALLEST = 5.5, 4.0  # size of the numbers, points
_NUMBER = 2.8  # width of a number and its margins, as a multiple of its size
# Inches.
_ROW = 0.15  # height of a variant's row
_COLUMN = 0.27  # width of a layer's column, at most
_WIDTH = 8.4  # of all columns beside each other, at most
_TITLE = 1.1  # width of a panel's title
_BAR = 0.06  # height of a color bar
_GAP = 0.14  # between panels
_AROUND = 0.75  # above and below a panel


def filters_figure(experiment: Experiment, dataset: str, architecture: str) -> tuple[Figure, str]:
    """A panel per metric that was measured, with a row per variant and a column per layer, and the caption."""
    place = place_label(architecture, dataset)
    means = experiment.of_network(experiment.layer_means, dataset, architecture)
    means = means[means["stage"] == "after"]
    means = means.assign(effective_rank=means["effective_rank"] / means[["filters", "filter_size"]].min(axis=1))
    shown = [name for name in _PANELS if means[name].notna().any()]
    cells = experiment.cells_of(dataset, architecture)
    labels = [_label(cell) for cell in cells]
    layers = sorted(means["position"].unique())
    title = f"{place}: filters after training (darker: more redundant)"
    layout = _Layout.of(len(shown), labels, len(layers), title)
    figure = Figure(figsize=layout.size)
    figure.suptitle(title)
    grid = figure.subplots(layout.down, layout.across, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    every = math.ceil(0.19 / layout.column)  # numbers of two digits need that much
    for i, (axes, name) in enumerate(zip(grid.flat, shown, strict=False)):
        table = means.pivot_table(index="variant", columns="position", values=name)
        values = table.reindex(index=[cell.variant for cell in cells], columns=layers).to_numpy(dtype=float)
        _map(figure, axes, values, name, layout.column)
        axes.set_xticks(range(0, len(layers), every), [str(position) for position in layers[::every]])
        axes.set_yticks(range(len(labels)) if i % layout.across == 0 else [], labels if i % layout.across == 0 else [])
    left_out = " Metrics that no run measured are left out." if len(shown) < len(_PANELS) else ""
    return figure, _CAPTION.format(place=place) + left_out


class _Layout(NamedTuple):
    """Panels beside and below each other, the size of the figure and the width of a layer's column, both in inches."""

    across: int
    down: int
    size: tuple[float, float]
    column: float

    @classmethod
    def of(cls, panels: int, labels: Sequence[str], layers: int, title: str) -> _Layout:
        across = min(panels, next((n for n in (6, 3, 2) if n * layers * _COLUMN <= _WIDTH), 1))
        down = -(-panels // across)
        names = 0.2 + 0.058 * max(map(len, labels))
        panel = max(_TITLE, layers * min(_COLUMN, _WIDTH / layers))
        width = max(names + across * (panel + _GAP), 0.085 * len(title))
        height = 0.4 + down * (_ROW * len(labels) + _AROUND)
        return cls(across, down, (width, height), ((width - names) / across - _GAP) / layers)


def _label(cell: Cell) -> str:
    """A variant's name, and how many runs its means are of where some are missing."""
    label = shortened(variant_label(cell.variant))
    return label if cell.value.n == cell.planned else f"{label} ({cell.value.n} of {cell.planned} runs)"


def _map(figure: Figure, axes: Axes, values: np.ndarray, name: str, width: float) -> None:
    """One metric of (variants, layers), NaN where there is none, with its scale; columns are `width` inches wide."""
    title, high_is_redundant = _PANELS[name]
    rows, columns = values.shape
    axes.set_title(title, fontsize=8)
    nothing = Rectangle((-0.5, -0.5), columns, rows, fc=NO_VALUE, ec=HATCH, hatch="//////", lw=0, zorder=0)
    axes.add_patch(nothing)
    image = axes.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        np.ma.masked_invalid(values),
        cmap="YlGnBu" if high_is_redundant else "YlGnBu_r",
        norm=_scale(values),
        edgecolors="white",
        lw=0.4,
    )
    points = min(_LARGEST, 72 * width / _NUMBER)
    if points >= _SMALLEST:
        style: dict[str, Any] = {"fontsize": points, "ha": "center", "va": "center_baseline", "clip_on": True}
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                axes.text(column, row, f"{value:.2f}", color=_ink(image.cmap(image.norm(value))), **style)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.set_xlabel("layer", labelpad=1, fontsize=7)
    axes.tick_params(length=0, pad=2, labelsize=7)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(
        image, ax=axes, location="bottom", pad=0.02, fraction=1.5 * _BAR / (_ROW * rows), aspect=columns * width / _BAR
    )
    bar.outline.set_linewidth(0.4)
    bar.locator = MaxNLocator(3, steps=[1, 2, 5, 10])
    bar.ax.tick_params(labelsize=6, length=2, pad=1.5)


def _scale(values: np.ndarray) -> Normalize:
    """From the lowest to the highest value, wider where they lie close together, but by no impossible values."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    spare = max(0.0, _LEAST_SPAN - (high - low)) / 2
    return Normalize(max(0.0, low - spare), max(high, min(1.0, high + spare)))


def _ink(color: Any) -> str:
    """Black or white, whichever is read better on a color (red, green, blue, opacity)."""
    red, green, blue, _ = color
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
