"""How redundant and how well formed the filters are, before and after training."""

from __future__ import annotations

from typing import Any

import pandas as pd

from linconv.report.formats import MISSING, Column, Entry, Table, number
from linconv.report.labels import architecture_label, dataset_label, variant_label
from linconv.report.source import Experiment
from linconv.report.wording import orthogonality_notes

# Column of layers.csv -> header, group, digits.
_SHOWN = {
    "mean_abs_correlation": ("mean |corr|", "all filters", 3),
    "share_above_0_5": ("|corr| > 0.5 (%)", "all filters", 1),
    "effective_rank": ("effective rank", "all filters", 1),
    "variance_entropy": ("variance entropy", "all filters", 3),
    "primary_mean_abs_correlation": ("mean |corr|", "primary filters", 3),
}
_QUALITY = {
    "kernel_sparsity": ("kernel sparsity (%)", 2),
    "kernel_variance_entropy": ("kernel variance entropy", 3),
    "orthogonality": ("filter orthogonality", 3),
}
AT = ["dataset", "architecture", "variant"]


def redundancy(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Means over the runs of a cell per layer, before and after training, as a table and as a frame."""
    frame = experiment.layer_means
    rows: list[list[str | Entry]] = []
    breaks: set[int] = set()
    last = None
    at: Any
    for at, group in frame.groupby([*AT, "position"], sort=False):
        dataset, architecture, variant, position = at
        if (dataset, architecture, variant) != last:
            breaks.add(len(rows))
            last = (dataset, architecture, variant)
        after = group[group["stage"] == "after"]
        shown = (after if len(after) else group).iloc[0]
        row: list[str | Entry] = [
            *(dataset_label(dataset), architecture_label(architecture), variant_label(variant)),
            *(Entry(str(position), position), shown["layer"], f"{shown['filters']:.0f} × {shown['filter_size']:.0f}"),
        ]
        stages = group.set_index("stage")
        rows.append(row + [_change(stages, name, digits) for name, (_, _, digits) in _SHOWN.items()])
    columns = [
        *(Column(name, align="l") for name in ("data set", "network", "variant")),
        *(Column("no."), Column("layer", align="l"), Column("N × D")),
        *(Column(name, group) for name, group, _ in _SHOWN.values()),
    ]
    notes = [] if rows else ["No run with measured filters was collected."]
    if rows and "before" not in set(frame["stage"]):
        notes.append("Before training and variance entropy: not measured when these runs were made.")
    caption = (
        "Redundancy of the N filters of D numbers of each convolution, before → after training, means over the "
        "finished runs: Pearson correlations of pairs of filters, effective rank (exponential of the entropy of the "
        "normalised singular values, at most N and D), entropy of the variance explained by the principal components "
        "(1: all directions alike)."
    )
    return Table("redundancy", caption, columns, rows, notes, frozenset(breaks)), frame


def filter_quality(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Means over the layers and the runs of a cell, before and after training, as a table and as a frame."""
    names = [*_QUALITY]
    layers = experiment.layer_means.groupby([*AT, "stage"], sort=False)
    frame = layers[names].mean().reset_index()
    frame.insert(len(AT) + 1, "layers", layers["position"].count().to_numpy())
    rows: list[list[str | Entry]] = []
    at: Any
    for at, group in frame.groupby(AT, sort=False):
        dataset, architecture, variant = at
        stages = group.set_index("stage")
        layers_shown = int(stages["layers"].get("after", stages["layers"].iloc[0]))
        rows.append(
            [
                *(dataset_label(dataset), architecture_label(architecture), variant_label(variant)),
                Entry(str(layers_shown), layers_shown),
                *(_change(stages, name, digits) for name, (_, digits) in _QUALITY.items()),
            ]
        )
    columns = [
        *(Column(name, align="l") for name in ("data set", "network", "variant")),
        *(Column("layers"), *(Column(name) for name, _ in _QUALITY.values())),
    ]
    notes = [] if rows else ["No run with measured filters was collected."]
    if rows and bool(frame[names].isna().all(axis=None)):
        notes.append("Not measured when these runs were made.")
    caption = (
        "Quality of the filters by the metrics of the CNN Filter DB (Gavrikov & Keuper, CVPR 2022), before → after "
        "training, means over the convolutions and the finished runs. Kernel sparsity: share of the k × k kernels "
        "whose numbers are all below a hundredth of their layer's largest; kernel variance entropy: entropy (base 10) "
        "of the variance explained by the principal components of the kernels, at most log10 (k × k), 0.954 for 3 × 3, "
        "and not defined for 1 × 1; filter orthogonality: 1 less the mean absolute cosine between two filters."
    )
    breaks = frozenset(i for i, row in enumerate(rows) if row[:2] != rows[i - 1][:2])
    table = Table("filter_quality", caption, columns, rows, notes + orthogonality_notes(experiment), breaks)
    return table, frame


def _change(stages: pd.DataFrame, name: str, digits: int) -> Entry:
    scale = 100 if name.startswith("share") or name == "kernel_sparsity" else 1
    values: dict[str, Any] = {stage: stages[name].get(stage) for stage in ("before", "after")}
    texts = {s: MISSING if v is None or pd.isna(v) else number(scale * v, digits) for s, v in values.items()}
    after = None if texts["after"] == MISSING else scale * float(values["after"])
    known = [text for text in texts.values() if text != MISSING]
    return Entry(" → ".join(texts.values()) if len(known) == 2 else (known or [MISSING])[0], after)
