"""The paper's table 2 beside ours, other methods and ImageNet included (WACV 2021)."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from linconv.report.inference import Cell
from linconv.report.labels import dataset_label, variant_label, variant_of
from linconv.report.published import COUNT_COLUMNS, published, published_datasets, published_top1
from linconv.report.source import Experiment
from linconv.report.table import NETWORK, VARIANT, Column, Rows, Table, TableCell
from linconv.report.tables.cells import accuracy
from linconv.report.text import MISSING, number

NOT_RUN = "not run"
# Method of a row -> the variants that stand for it, of which the first planned for the network is shown.
STANDING_FOR = {
    "conv": ("conv",),
    "LRr": ("LRr", "LRr_preserving"),
    "octconv": ("octconv", "octconv_half"),
    "basis": ("basis",),
}
_CAPTION = (
    "The paper's Table 2 beside ours: top-1 accuracy (%), absolute for Conv and as difference to Conv for the "
    "others; parameters in millions, FLOPs in billions by the paper's rule."
)
_NOTES = (
    f"{NOT_RUN}: no part of this experiment; config/table2.yaml runs all of it. The paper's rule for FLOPs is "
    "known of plain and LinearConv layers alone.",
    "The paper marks the parameters and FLOPs of VGG11-basis with a footnote. Its SqueezeNet-LRr parameters fit "
    "neither rank 10 in every layer nor another simple rule.",
)
_Record = dict[str, object]


def table2(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The paper's table 2, other methods and ImageNet included; what has no number here is shown as such."""
    datasets = published_datasets("table2")
    groups = [*map(dataset_label, datasets), *(column.header for column in COUNT_COLUMNS)]
    rows = Rows(
        [NETWORK, VARIANT, *(Column(name, group) for group in groups for name in ("ours", "paper"))], group=["network"]
    )
    cells = {cell[:3]: cell for cell in experiment.cells}
    records = []
    for architecture, method in published("table2"):
        variant = _standing_for(experiment, architecture, method)
        record: _Record = {"architecture": architecture, "variant": method}
        line: list[str | TableCell] = []
        for dataset in datasets:
            cell = cells.get((dataset, architecture, variant))
            line += _top1(experiment, cell, (architecture, method), dataset, record)
        rows.add(architecture, method, *line, *_counts(experiment, (architecture, method), variant, record))
        records.append(record)
    return rows.table(_CAPTION, list(_notes(experiment, records))), pd.DataFrame(records)


def _standing_for(experiment: Experiment, architecture: str, method: str) -> str:
    """The variant that stands for a method of the table: planned for the network, or planned, or named so."""
    config = experiment.config
    standing = [v for v in STANDING_FOR[method] if v in config.known_variants]
    own = set(experiment.variants_of(architecture))
    planned = [v for v in standing if v in own] or [v for v in standing if v in config.variants]
    return next(iter(planned), method)


def _top1(
    experiment: Experiment, cell: Cell | None, row: tuple[str, str], dataset: str, record: _Record
) -> list[str | TableCell]:
    """Ours and the paper's; the numbers go into the record as well."""
    ours: str | TableCell = NOT_RUN
    if cell is not None:
        ours = accuracy(experiment, cell).cell
        record[f"{dataset}_ours"] = cell.value.mean
    record[f"{dataset}_paper"] = published_top1(*row, dataset, "table2")
    return [ours, published("table2")[row].get(dataset, "")]


def _counts(experiment: Experiment, row: tuple[str, str], variant: str, record: _Record) -> Iterator[str | TableCell]:
    model = experiment.model(row[0], variant)
    for name, column, _, unit, digits in COUNT_COLUMNS:
        paper = published("table2")[row][name]
        counted = None if model is None or pd.isna(model[column]) else model[column] / unit
        record |= {f"{name}_ours": counted, f"{name}_paper": paper}
        if counted is None:
            yield NOT_RUN if model is None else MISSING
        else:
            yield TableCell(number(counted, digits), counted)
        yield paper


def _notes(experiment: Experiment, records: list[_Record]) -> Iterator[str]:
    yield from _NOTES
    if any(r["variant"] == "octconv" and r["params_m_ours"] is not None for r in records):
        yield (
            "Where VGG11 max-pools, our VGG11-OctConv averages the maps at half resolution: "
            "see octconv in docs/methods.md."
        )
    others = []
    for architecture, method in published("table2"):
        variant = _standing_for(experiment, architecture, method)
        if variant not in (method, f"{method}_half"):
            others.append(f"{variant_of(architecture, method)} is {variant_label(variant)} here")
    if others:
        yield f"{', '.join(others)}."
