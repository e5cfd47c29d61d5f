"""The paper's table 1 as printed (WACV 2021)."""

from __future__ import annotations

import pandas as pd

from linconv.report.labels import dataset_label
from linconv.report.published import COUNT_COLUMNS, CountColumn, published, published_datasets, published_top1
from linconv.report.source import Experiment
from linconv.report.table import NETWORK, VARIANT, Column, Rows, Table, TableCell

_CAPTION = (
    "The paper's Table 1 as printed: top-1 accuracy (%), absolute for Conv and as difference to Conv for the "
    "others, of one run each; parameters in millions, FLOPs in billions by the paper's rule, each with the factor "
    "by which Conv has more. Bold: the fewest parameters of a network."
)


def table1_paper(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The paper's table 1 as printed, whatever the experiment, with the absolute accuracies in the frame."""
    datasets = published_datasets()
    top1 = [Column(dataset_label(dataset), "top-1 (%)") for dataset in datasets]
    params, flops = (column.header for column in COUNT_COLUMNS)
    counts = [Column(params, best="lowest"), Column(flops)]  # FLOPs by the paper's rule are no merit
    rows = Rows([NETWORK, VARIANT, *top1, *counts], group=["network"])
    records = []
    for (architecture, variant), printed in published().items():
        accuracies = {d: published_top1(architecture, variant, d) for d in datasets}
        rows.add(
            architecture,
            variant,
            *(TableCell(printed[dataset], accuracies[dataset]) for dataset in datasets),
            *(_count(architecture, printed[column.name], column) for column in COUNT_COLUMNS),
        )
        record: dict[str, object] = {"architecture": architecture, "variant": variant, **accuracies}
        records.append(record | {column.name: printed[column.name] for column in COUNT_COLUMNS})
    return rows.table(_CAPTION), pd.DataFrame(records)


def _count(architecture: str, printed: str, column: CountColumn) -> TableCell:
    plain, value = float(published()[architecture, "conv"][column.name]), float(printed)
    factor = "" if plain == value else f" ({plain / value:.2f}×)"
    return TableCell(printed + factor, value)
