"""Heat maps of the correlations between the filters of trained convolutions (after the paper's figure)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from linconv.report.labels import place_label, shortened, variant_label
from linconv.report.source import Experiment

_CAPTION = (
    "{place}: Pearson correlation between the filters of trained convolutions (rows: variants, columns: "
    "layers in the order of execution). The outlined block holds the primary filters; the correlation regularizer "
    "drives it towards the identity."
)
_INCH = 1.5  # side of one map


def correlations_figure(experiment: Experiment, dataset: str, architecture: str) -> tuple[Figure, str]:
    """One map per variant and stored layer on one scale from -1 to 1, and the caption."""
    place = place_label(architecture, dataset)
    stored = experiment.correlations(dataset, architecture)
    seeds = {variant: seed for variant, seed, _ in stored}
    variants = [v for v in experiment.config.figures.heatmap_variants if v in seeds]
    layers = sorted({layer for _, _, layer in stored}, key=_position)
    figure = Figure(figsize=(_INCH * len(layers) + 1.35, _INCH * len(variants) + 0.85))
    figure.suptitle(f"{place}: correlation between filters")
    grid = figure.subplots(len(variants), len(layers), squeeze=False)
    primaries = _primaries(experiment, dataset, architecture)
    image: Any = None
    for variant, row in zip(variants, grid, strict=True):
        for layer, axes in zip(layers, row, strict=True):
            matrix = stored.get((variant, seeds[variant], layer))
            if matrix is None:
                axes.set_axis_off()
                continue
            image = _map(axes, matrix, primaries.get((variant, seeds[variant], _position(layer))))
        same_seed = len(set(seeds.values())) == 1
        label = shortened(variant_label(variant)) + ("" if same_seed else f"\n(seed {seeds[variant]})")
        row[0].set_ylabel(label, fontweight="bold", fontsize=8.5)
    for layer, axes in zip(layers, grid[0], strict=True):
        position, _, name = layer.removeprefix("layer").partition("_")
        axes.set_title(f"layer {position}\n{shortened(name)}", loc="center", fontsize=7.5, fontweight="normal")
    bar = figure.colorbar(image, ax=grid, shrink=min(1, 2.2 / len(variants)), aspect=24, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label("Pearson correlation")
    bar.outline.set_linewidth(0.6)
    return figure, _CAPTION.format(place=place)


def _map(axes: Axes, matrix: np.ndarray, primaries: int | None) -> Any:
    n = len(matrix)
    edges = (0.5, n + 0.5, n + 0.5, 0.5)  # filters count from 1
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, extent=edges)
    ticks = [1, n]
    if primaries:
        axes.add_patch(Rectangle((0.5, 0.5), primaries, primaries, fill=False, ec="black", lw=0.7))
        ticks.insert(1, primaries)
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.tick_params(labelsize=6, length=2, pad=1.5)
    axes.grid(False)
    axes.spines[["top", "right"]].set_visible(True)
    return image


def _position(layer: str) -> int:
    return int(layer.removeprefix("layer").partition("_")[0])


def _primaries(experiment: Experiment, dataset: str, architecture: str) -> dict[tuple[str, int, int], int]:
    """Number of primary filters by variant, seed and position of the layer; plain convolutions have none."""
    frame = experiment.of_network(experiment.frames["layers"], dataset, architecture).dropna(subset=["primaries"])
    frame = frame[(frame["stage"] == "after") & (frame["split"] == experiment.config.splits[0])]
    columns = ("variant", "seed", "position", "primaries")
    return {(v, int(s), int(p)): int(n) for v, s, p, n in zip(*(frame[c] for c in columns), strict=True)}
