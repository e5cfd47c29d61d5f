"""How well formed the filters of each network are, before and after training."""

from __future__ import annotations

from typing import Any

import pandas as pd

from linconv.report.source import CELL, Experiment
from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, Table, count
from linconv.report.tables.cells import change_cell
from linconv.report.wording import orthogonality_notes

_CAPTION = (
    "Quality of the filters by the metrics of the CNN Filter DB (Gavrikov & Keuper, CVPR 2022), before → after "
    "training, means over the convolutions and the finished runs. Kernel sparsity: share of the k × k kernels "
    "whose numbers are all below a hundredth of their layer's largest; kernel variance entropy: entropy (base 10) "
    "of the variance explained by the principal components of the kernels, at most log10 (k × k), 0.954 for 3 × 3, "
    "and not defined for 1 × 1; filter orthogonality: 1 less the mean absolute cosine between two filters."
)
# Column of layers.csv -> header, decimals.
_METRICS = {
    "kernel_sparsity": ("kernel sparsity (%)", 2),
    "kernel_variance_entropy": ("kernel variance entropy", 3),
    "orthogonality": ("filter orthogonality", 3),
}
_COLUMNS = (DATASET, NETWORK, VARIANT, Column("layers"), *(Column(header) for header, _ in _METRICS.values()))


def filter_quality_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Means over the layers and the runs of a cell, before and after training, as a table and as a frame."""
    names = [*_METRICS]
    layers = experiment.layer_means.groupby([*CELL, "stage"], sort=False)
    frame = layers[names].mean().reset_index()
    frame.insert(len(CELL) + 1, "layers", layers["position"].count().to_numpy())
    rows = Rows(_COLUMNS, group=["data set", "network"])
    cell: Any
    for cell, group in frame.groupby(CELL, sort=False):
        stages = group.set_index("stage")
        measured = int(stages["layers"].get("after", stages["layers"].iloc[0]))
        rows.add(*cell, count(measured), *(change_cell(stages, name, digits) for name, (_, digits) in _METRICS.items()))
    notes = []
    if len(rows) and bool(frame[names].isna().all(axis=None)):
        notes.append("Not measured when these runs were made.")
    notes += orthogonality_notes(experiment)
    return rows.table(_CAPTION, notes, empty="No run with measured filters was collected."), frame
