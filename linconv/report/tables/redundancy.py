"""How redundant the filters of each convolution are, before and after training."""

from __future__ import annotations

from typing import Any

import pandas as pd

from linconv.report.source import CELL, Experiment
from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, Table, count
from linconv.report.tables.cells import change_cell

_CAPTION = (
    "Redundancy of the N filters of D numbers of each convolution, before → after training, means over the "
    "finished runs: Pearson correlations of pairs of filters, effective rank (exponential of the entropy of the "
    "normalized singular values, at most N and D), entropy of the variance explained by the principal components "
    "(1: all directions alike)."
)
# Column of layers.csv -> header, decimals.
_METRICS = {
    "mean_abs_correlation": (Column("mean |corr|", "all filters"), 3),
    "share_above_0_5": (Column("|corr| > 0.5 (%)", "all filters"), 1),
    "effective_rank": (Column("effective rank", "all filters"), 1),
    "variance_entropy": (Column("variance entropy", "all filters"), 3),
    "primary_mean_abs_correlation": (Column("mean |corr|", "primary filters"), 3),
}
_COLUMNS = (
    DATASET,
    NETWORK,
    VARIANT,
    Column("no."),
    Column("layer", align="l"),
    Column("N × D"),
    *(column for column, _ in _METRICS.values()),
)


def redundancy_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Means over the runs of a cell per layer, before and after training, as a table and as a frame."""
    frame = experiment.layer_means
    rows = Rows(_COLUMNS, group=["data set", "network", "variant"])
    at: Any
    for at, group in frame.groupby([*CELL, "position"], sort=False):
        *cell, position = at
        after = group[group["stage"] == "after"]
        layer = (after if len(after) else group).iloc[0]
        stages = group.set_index("stage")
        rows.add(
            *cell,
            count(position),
            layer["layer"],
            f"{layer['filters']:.0f} × {layer['filter_size']:.0f}",
            *(change_cell(stages, name, digits) for name, (_, digits) in _METRICS.items()),
        )
    notes = []
    if len(rows) and "before" not in set(frame["stage"]):
        notes.append("Before training and variance entropy: not measured when these runs were made.")
    return rows.table(_CAPTION, notes, empty="No run with measured filters was collected."), frame
