"""The paper's tables as printed, and ours beside them (WACV 2021, tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from linconv.config import VARIANTS
from linconv.report.formats import MISSING, Column, Entry, Table, decimals, mark_best, number
from linconv.report.labels import architecture_label, dataset_label, place_label, variant_label
from linconv.report.paper import published, size_warning
from linconv.report.source import Experiment
from linconv.report.table1 import accuracy, reduced
from linconv.report.wording import legend, tests_text
from linconv.results.statistics import Cell

_COUNTS = (("params_m", "params", 1e6, 2), ("flops_b", "flops_paper", 1e9, 3))
_HEADERS = {"params_m": "params (M)", "flops_b": "FLOPs (B)"}
NOT_RUN = "not run"
# Method of a row of table 2 -> the variants that stand for it, of which the first in the experiment is shown.
TABLE2_VARIANTS = {
    "conv": ("conv",),
    "LRr": ("LRr",),
    "octconv": ("octconv", "octconv_half"),
    "basis": ("basis",),
}


def printed_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The paper's table 1 as printed, whatever the experiment, with the absolute accuracies in the frame."""
    table = published()
    datasets = [name for name in next(iter(table.values())) if name not in _HEADERS]
    rows: list[list[str | Entry]] = []
    records, breaks = [], set()
    for (architecture, variant), cells in table.items():
        if variant == "conv":
            breaks.add(len(rows))
        counts = [_printed_count(architecture, cells, name) for name in _HEADERS]
        values = {d: paper_top1(architecture, variant, d) for d in datasets}
        entries = [Entry(cells[d], values[d]) for d in datasets]
        rows.append([architecture_label(architecture), variant_label(variant), *entries, *counts])
        records.append({"architecture": architecture, "variant": variant, **values})
        records[-1] |= {name: cells[name] for name in _HEADERS}
    for start in breaks:
        for i in range(2, 3 + len(datasets)):
            mark_best(rows[start : start + 3], i, highest=i < 2 + len(datasets))
    caption = (
        "The paper's Table 1 as printed: top-1 accuracy (%), absolute for Conv and as difference to Conv for the "
        "others, of one run each; parameters in millions, FLOPs in billions by the paper's rule, each with the factor "
        "by which Conv has more. Bold: the best of a network."
    )
    columns = [
        *(Column("network", align="l"), Column("variant", align="l")),
        *(Column(dataset_label(d), "top-1 (%)") for d in datasets),
        *map(Column, _HEADERS.values()),
    ]
    return Table("table1-paper", caption, columns, rows, (), frozenset(breaks)), pd.DataFrame(records)


def paper_top1(architecture: str, variant: str, dataset: str, table: str = "table1") -> float | None:
    """The paper's absolute accuracy in percent: its difference added to its conv; None where it prints none."""
    cells = published(table)
    text = cells.get((architecture, variant), {}).get(dataset)
    base = cells.get((architecture, "conv"), {}).get(dataset)
    if text is None or base is None:
        return None
    return float(base) if variant == "conv" else round(float(base) + float(text), 1)


def _printed_count(architecture: str, cells: Mapping[str, str], name: str) -> Entry:
    plain, value = float(published()[architecture, "conv"][name]), float(cells[name])
    factor = "" if plain == value else f" ({plain / value:.2f}×)"
    return Entry(cells[name] + factor, value)


def comparison_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Our table 1 beside the paper's with the deviation, for the networks and variants that both have."""
    config, table = experiment.config, published()
    cells = {cell[:3]: cell for cell in experiment.cells}
    named = [(a, v) for a in config.architectures for v in experiment.variants_of(a) if (a, v) in table]
    otherwise = sorted({v for _, v in named if config.known_variants[v] != VARIANTS[v]})
    shown = [(a, v) for a, v in named if v not in otherwise]
    datasets = [d for d in config.datasets if any(d in table[at] for at in shown)]
    rows: list[list[str | Entry]] = []
    records, breaks = [], set()
    for i, (architecture, variant) in enumerate(shown):
        if not i or architecture != shown[i - 1][0]:
            breaks.add(i)
        row: list[str | Entry] = [architecture_label(architecture), variant_label(variant)]
        record: dict[str, object] = {"architecture": architecture, "variant": variant}
        for dataset in datasets:
            row += _accuracies(experiment, cells.get((dataset, architecture, variant)), table, dataset, record)
        rows.append(row + _counts(experiment, architecture, variant, record))
        records.append(record)
    columns = [Column("network", align="l"), Column("variant", align="l")]
    for group in (*map(dataset_label, datasets), *_HEADERS.values()):
        columns += [Column(name, group) for name in ("ours", "paper", "deviation")]
    caption = (
        "Ours, the paper's, and the deviation (ours minus the paper's) of Table 1. Accuracy: top-1 (%) on the test "
        "set, absolute for Conv and as difference to Conv for the others; ours is mean ± standard deviation (number "
        "of runs) under this experiment's protocol, the paper's is one run of 250 to 350 epochs. "
        f"{tests_text(experiment)} Counts are compared to the printed digits."
    )
    notes = list(legend(experiment)) if datasets else []
    if otherwise:
        labels = ", ".join(map(variant_label, otherwise))
        notes.append(f"Not beside the paper's, since this experiment defines them otherwise: {labels}.")
    notes += [] if rows else ["No network and variant of this experiment is in the paper's Table 1."]
    notes += [] if datasets or not rows else ["No data set of this experiment is in the paper's Table 1."]
    notes += [f"Epochs trained here: {_epochs(experiment, datasets)}."] if datasets else []
    notes += size_warning(experiment) if rows else []
    return Table("table1-comparison", caption, columns, rows, notes, frozenset(breaks)), pd.DataFrame(records)


def _epochs(experiment: Experiment, datasets: Sequence[str]) -> str:
    config = experiment.config
    places = [(a, d, config.recipe.resolve(a, d).epochs) for a in config.architectures for d in datasets]
    if len({epochs for *_, epochs in places}) == 1:
        return str(places[0][2])
    return ", ".join(f"{place_label(a, d)} {epochs}" for a, d, epochs in places)


def _accuracies(
    experiment: Experiment,
    cell: Cell | None,
    table: Mapping[tuple[str, str], Mapping[str, str]],
    dataset: str,
    record: dict[str, object],
) -> list[str | Entry]:
    """Ours, the paper's and the deviation; the numbers go into the record as well."""
    if cell is None:
        return [MISSING, "", ""]
    paper = table[cell.architecture, cell.variant].get(dataset)
    entry, alone = accuracy(experiment, cell)
    spread = cell.value if cell.variant == "conv" or alone else cell.difference
    if paper is None or not spread.n:
        return [entry, paper or "", MISSING if paper else ""]
    printed = paper_top1(cell.architecture, cell.variant, dataset) if alone else float(paper)
    deviation = spread.mean - float(printed or 0)
    record |= {f"{dataset}_ours": spread.mean, f"{dataset}_paper": printed, f"{dataset}_deviation": deviation}
    digits = max(1, decimals(spread.sd))
    return [entry, Entry(paper, float(paper)), Entry(number(deviation, digits, signed=True), deviation)]


def _counts(experiment: Experiment, architecture: str, variant: str, record: dict[str, object]) -> list[str | Entry]:
    model, plain = experiment.model(architecture, variant), experiment.model(architecture, "conv")
    row: list[str | Entry] = []
    for name, ours, unit, digits in _COUNTS:
        paper = published()[architecture, variant][name]
        if model is None:
            row += [MISSING, paper, MISSING]
            continue
        entry = reduced(model[ours], None if plain is None else plain[ours], unit, digits)
        deviation = round(model[ours] / unit, digits) - float(paper)
        record |= {f"{name}_ours": model[ours] / unit, f"{name}_paper": float(paper)}
        row += [entry, Entry(paper, float(paper)), Entry(number(deviation, digits, signed=True), deviation)]
    return row


def table2(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The paper's table 2, other methods and ImageNet included; what has no number here is shown as such."""
    cells = {cell[:3]: cell for cell in experiment.cells}
    paper = published("table2")
    names = list(dict.fromkeys(name for row in paper.values() for name in row))
    datasets = [name for name in names if name not in (*_HEADERS, "note")]
    rows: list[list[str | Entry]] = []
    breaks: set[int] = set()
    records = []
    for architecture, variant in paper:
        if variant == "conv":
            breaks.add(len(rows))
        printed = paper[architecture, variant]
        standing = [v for v in TABLE2_VARIANTS[variant] if v in experiment.config.known_variants]
        planned = [v for v in standing if v in experiment.config.variants]
        ours_is = planned[0] if planned else variant
        row: list[str | Entry] = [architecture_label(architecture), variant_label(variant)]
        record: dict[str, object] = {"architecture": architecture, "variant": variant}
        for dataset in datasets:
            cell = cells.get((dataset, architecture, ours_is))
            ours: str | Entry = NOT_RUN
            if cell is not None:
                ours = accuracy(experiment, cell)[0]
                record[f"{dataset}_ours"] = cell.value.mean
            record[f"{dataset}_paper"] = paper_top1(architecture, variant, dataset, "table2")
            row += [ours, printed.get(dataset, "")]
        model = experiment.model(architecture, ours_is)
        for name, column, unit, digits in _COUNTS:
            counted = None if model is None or pd.isna(model[column]) else model[column] / unit
            absent = NOT_RUN if model is None else MISSING
            row.append(absent if counted is None else Entry(number(counted, digits), counted))
            row.append(printed[name])
            record |= {f"{name}_ours": counted, f"{name}_paper": printed[name]}
        rows.append(row)
        records.append(record)
    columns = [Column("network", align="l"), Column("variant", align="l")]
    for group in (*map(dataset_label, datasets), *_HEADERS.values()):
        columns += [Column(name, group) for name in ("ours", "paper")]
    caption = (
        "The paper's Table 2 beside ours: top-1 accuracy (%), absolute for Conv and as difference to Conv for the "
        "others; parameters in millions, FLOPs in billions by the paper's rule."
    )
    notes = [
        f"{NOT_RUN}: no part of this experiment; config/table2.yaml runs all of it. The paper's rule for FLOPs is "
        "known of plain and LinearConv layers alone.",
        "The paper marks the parameters and FLOPs of VGG11-basis with a footnote. Its SqueezeNet-LRr parameters fit "
        "neither rank 10 in every layer nor another simple rule.",
    ]
    if any(r["variant"] == "octconv" and r["params_m_ours"] is not None for r in records):
        notes.append(
            "Where VGG11 max-pools, our VGG11-OctConv averages the maps at half resolution: "
            "see octconv in docs/methods.md."
        )
    return Table("table2", caption, columns, rows, notes, frozenset(breaks)), pd.DataFrame(records)
