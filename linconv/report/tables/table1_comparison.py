"""Our table 1 beside the paper's (WACV 2021)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from linconv.config import VARIANTS
from linconv.report.inference import Cell
from linconv.report.labels import dataset_label, place_label, variant_label
from linconv.report.published import COUNT_COLUMNS, published, published_top1, size_warning
from linconv.report.source import Experiment
from linconv.report.table import NETWORK, VARIANT, Column, Rows, Table, TableCell
from linconv.report.tables.cells import accuracy, reduced
from linconv.report.text import MISSING, number
from linconv.report.verdicts import legend, tested_text

_CAPTION = (
    "Ours, the paper's, and ours minus the paper's, of Table 1. Accuracy: top-1 (%) on the test set [interval] (runs), "
    "absolute for Conv, minus Conv for the others; the paper's is one run of 250 to 350 epochs. {tests} Counts are "
    "compared to the printed digits."
)
_Record = dict[str, object]


def table1_comparison(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Our table 1 beside the paper's with the deviation, for the networks and variants that both have."""
    redefined = _redefined(experiment)
    shown = [(a, v) for a, v in _in_both(experiment) if v not in redefined]
    datasets = [d for d in experiment.config.datasets if any(d in published()[at] for at in shown)]
    rows = Rows([NETWORK, VARIANT, *_compared_columns(datasets)], group=["network"])
    cells = {cell[:3]: cell for cell in experiment.cells}
    records = []
    for architecture, variant in shown:
        record: _Record = {"architecture": architecture, "variant": variant}
        line: list[str | TableCell] = [architecture, variant]
        for dataset in datasets:
            line += _top1(experiment, cells.get((dataset, architecture, variant)), dataset, record)
        rows.add(*line, *_counts(experiment, architecture, variant, record))
        records.append(record)
    caption = _CAPTION.format(tests=tested_text(experiment, experiment.comparisons.values()))
    notes = _notes(experiment, datasets, redefined, any_row=bool(shown))
    return rows.table(caption, list(notes)), pd.DataFrame(records)


def _compared_columns(datasets: Sequence[str]) -> list[Column]:
    groups = [*map(dataset_label, datasets), *(column.header for column in COUNT_COLUMNS)]
    return [Column(name, group) for group in groups for name in ("ours", "paper", "deviation")]


def _in_both(experiment: Experiment) -> list[tuple[str, str]]:
    """The networks and variants that both the experiment and the paper have."""
    return [(a, v) for a in experiment.config.architectures for v in experiment.variants_of(a) if (a, v) in published()]


def _redefined(experiment: Experiment) -> list[str]:
    """The paper's variants that this experiment defines otherwise."""
    known = experiment.config.known_variants
    return sorted({v for _, v in _in_both(experiment) if known[v] != VARIANTS[v]})


def _notes(
    experiment: Experiment, datasets: Sequence[str], redefined: Sequence[str], *, any_row: bool
) -> Iterator[str]:
    if datasets:
        yield from legend(experiment)
    if redefined:
        labels = ", ".join(map(variant_label, redefined))
        yield f"Not beside the paper's, since this experiment defines them otherwise: {labels}."
    if not any_row:
        yield "No network and variant of this experiment is in the paper's Table 1."
        return
    if datasets:
        yield f"Epochs trained here: {_epochs(experiment, datasets)}."
    else:
        yield "No data set of this experiment is in the paper's Table 1."
    yield from size_warning(experiment)


def _epochs(experiment: Experiment, datasets: Sequence[str]) -> str:
    config = experiment.config
    places = [(a, d, config.recipe.resolve(a, d).epochs) for a in config.architectures for d in datasets]
    if len({epochs for *_, epochs in places}) == 1:
        return str(places[0][2])
    return ", ".join(f"{place_label(a, d)} {epochs}" for a, d, epochs in places)


def _top1(experiment: Experiment, cell: Cell | None, dataset: str, record: _Record) -> list[str | TableCell]:
    """Ours, the paper's and the deviation; the numbers go into the record as well."""
    if cell is None:
        return [MISSING, "", ""]
    paper = published()[cell.architecture, cell.variant].get(dataset)
    ours, alone = accuracy(experiment, cell)
    comparison = experiment.comparisons.get(cell[:3])
    absolute = comparison is None or alone
    mean = cell.value.mean if comparison is None or alone else comparison.mean
    if paper is None or math.isnan(mean):
        return [ours, paper or "", MISSING if paper else ""]
    printed = published_top1(cell.architecture, cell.variant, dataset) if absolute else float(paper)
    deviation = mean - float(printed or 0)
    record |= {f"{dataset}_ours": mean, f"{dataset}_paper": printed, f"{dataset}_deviation": deviation}
    return [ours, TableCell(paper, float(paper)), _deviation(deviation, 2)]


def _counts(experiment: Experiment, architecture: str, variant: str, record: _Record) -> list[str | TableCell]:
    model, plain = experiment.model(architecture, variant), experiment.model(architecture, "conv")
    cells: list[str | TableCell] = []
    for name, ours, _, unit, digits in COUNT_COLUMNS:
        paper = published()[architecture, variant][name]
        if model is None:
            cells += [MISSING, paper, MISSING]
            continue
        deviation = round(round(model[ours] / unit, digits) - float(paper), digits)
        record |= {f"{name}_ours": model[ours] / unit, f"{name}_paper": float(paper)}
        own = reduced(model[ours], None if plain is None else plain[ours], unit, digits)
        cells += [own, TableCell(paper, float(paper)), _deviation(deviation, digits)]
    return cells


def _deviation(value: float, digits: int) -> TableCell:
    return TableCell(number(value, digits, signed=True), value)
