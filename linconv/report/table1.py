"""The paper's table 1 (WACV 2021) with our numbers, the paper's beside them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from linconv.report.formats import MISSING, Column, Table, number, spread_text
from linconv.report.labels import architecture_label, dataset_label, variant_label
from linconv.report.paper import published, size_warning
from linconv.report.source import Experiment
from linconv.results.statistics import Cell

_CAPTION = (
    "Top-1 accuracy (%) on the test set {epoch}, mean ± standard deviation (number of runs): absolute "
    "for Conv, signed difference to Conv (paired by seed) for the other variants, as the paper prints it. "
    "Parameters in millions; FLOPs in billions by the paper's rule, which is no cost model; multiply-accumulates "
    "per image in millions, folded into plain convolutions and in feature space."
)


def table1(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Accuracy, parameters and cost of every network and variant, as a table and as a tidy frame.

    The frame has one row per data set, network and variant, with absolute accuracies and differences.
    """
    config = experiment.config
    shown = [(a, v) for a in config.architectures for v in experiment.variants_of(a)]
    compared = {d for d in config.datasets if any(d in published().get(cell, {}) for cell in shown)}
    cells = {(c.dataset, c.architecture, c.variant): c for c in experiment.cells}
    columns = [Column("network", align="l"), Column("variant", align="l")]
    for dataset in config.datasets:
        label = dataset_label(dataset)
        columns += [Column("ours", label), Column("paper", label)] if dataset in compared else [Column(label)]
    columns += [Column(name, group) for group in ("params (M)", "FLOPs (B)") for name in ("ours", "paper")]
    columns += [Column("folded", "MACs (M)"), Column("feature", "MACs (M)")]

    rows: list[list[str]] = []
    breaks: set[int] = set()
    records, absolute = [], False
    for architecture in config.architectures:
        breaks.add(len(rows))
        for variant in experiment.variants_of(architecture):
            paper = published().get((architecture, variant), {})
            model = experiment.model(architecture, variant)
            row = [architecture_label(architecture), variant_label(variant)]
            for dataset in config.datasets:
                cell = cells.get((dataset, architecture, variant))
                if cell is None:  # excluded by the configuration
                    row += [MISSING, paper.get(dataset, "")][: 1 + (dataset in compared)]
                    continue
                text, alone = _accuracy(cell)
                absolute |= alone
                row.append(text)
                if dataset in compared:
                    row.append(paper.get(dataset, ""))
                records.append(_record(cell, paper, model))
            rows.append(row + _costs(model, paper))
    notes = [*_gaps(experiment), *_sparse(experiment), *_quirks(experiment), *_sizes(experiment)]
    if absolute:
        notes.insert(0, "† absolute accuracy: no finished run of Conv with the same seed to compare with.")
    table = Table("table1", _CAPTION.format(epoch=experiment.reported_epoch), columns, rows, notes, frozenset(breaks))
    return table, pd.DataFrame(records)


def _accuracy(cell: Cell) -> tuple[str, bool]:
    """The text of an accuracy, and whether it is absolute for want of a baseline."""
    if cell.variant == "conv":
        return spread_text(cell.value), False
    if cell.difference.n or not cell.value.n:
        return spread_text(cell.difference, signed=True), False
    return f"{spread_text(cell.value)} †", True


def _costs(model: pd.Series | None, paper: Mapping[str, str]) -> list[str]:
    printed = (paper.get("params_m", ""), paper.get("flops_b", ""))
    if model is None:
        return [MISSING, printed[0], MISSING, printed[1], MISSING, MISSING]
    mark = "" if pd.isna(model["flops_paper_quirk"]) else " ‡"
    return [
        *(number(model["params"] / 1e6, 2), printed[0]),
        *(number(model["flops_paper"] / 1e9, 3) + mark, printed[1]),
        *(number(model["macs_folded"] / 1e6, 1), number(model["macs_feature"] / 1e6, 1)),
    ]


def _record(cell: Cell, paper: Mapping[str, str], model: pd.Series | None) -> dict[str, object]:
    """One row of the CSV file; the paper's absolute accuracy is its difference added to its conv."""
    printed = float(paper[cell.dataset]) if cell.dataset in paper else None
    base = published().get((cell.architecture, "conv"), {}).get(cell.dataset)
    difference = None if cell.variant == "conv" else printed
    if printed is not None and cell.variant != "conv":
        printed = round(float(base) + printed, 1) if base is not None else None
    ours = {name: None if model is None else model[name] for name in _COUNTS}
    return {
        **{name: getattr(cell, name) for name in ("dataset", "architecture", "variant", "planned")},
        **{name: getattr(cell, name) for name in ("diverged", "missing")},
        **{f"top1_{name}": value for name, value in cell.value._asdict().items()},
        **{f"difference_{name}": value for name, value in cell.difference._asdict().items()},
        "paper_top1": printed,
        "paper_difference": difference,
        **ours,
        "paper_params_m": paper.get("params_m"),
        "paper_flops_b": paper.get("flops_b"),
    }


_COUNTS = ("params", "flops_paper", "macs_folded", "macs_feature")


def _gaps(experiment: Experiment) -> Iterator[str]:
    """One note per network and data set that lacks runs: how many of which variant, and why."""
    config = experiment.config
    for architecture, dataset in itertools.product(config.architectures, config.datasets):
        parts = []
        for cell in experiment.cells_of(dataset, architecture):
            counts = ((cell.missing, "missing"), (cell.diverged, "diverged"))
            reasons = " and ".join(f"{n} {word}" for n, word in counts if n)
            if reasons:
                parts.append(f"{variant_label(cell.variant)} {reasons}")
        if parts:
            where = f"{architecture_label(architecture)} on {dataset_label(dataset)}"
            yield f"{where}: of {len(config.seeds)} runs each, {'; '.join(parts)}."


def _sparse(experiment: Experiment) -> Iterator[str]:
    """One note per variant with sparse coefficients: how sparse they became, beside what was wanted."""
    done = experiment.runs[(experiment.runs["status"] == "ok") & experiment.runs["coefficient_sparsity"].notna()]
    reached = done.groupby(list(Cell._fields[:3]), sort=False)["coefficient_sparsity"].mean()
    parts: dict[str, list[str]] = {}
    names: Any
    for names, share in reached.items():
        dataset, architecture, variant = names
        where = f"{architecture_label(architecture)} on {dataset_label(dataset)}"
        parts.setdefault(variant, []).append(f"{where} {100 * share:.0f} %")
    for variant, shown in parts.items():
        options = experiment.config.known_variants[variant].options
        wanted = f", wanted {100 * options.sparsity:.0f} %" if options and options.sparsity else ""
        yield f"{variant_label(variant)}: share of zero coefficients after training (mean): {', '.join(shown)}{wanted}."


def _quirks(experiment: Experiment) -> Iterator[str]:
    frame = experiment.complexity
    shown = frame[frame["architecture"].isin(experiment.config.architectures)]
    if shown["flops_paper_quirk"].notna().any():
        yield "‡ the paper's cell needs a quirk of the released code or of its rounding, see the table of its columns."


def _sizes(experiment: Experiment) -> list[str]:
    """What the counts are for: data sets of another size train slightly other first and last layers."""
    if experiment.complexity.empty:
        return ["Parameters, FLOPs and MACs were not measured."]
    sizes = experiment.complexity[["input_shape", "classes"]].drop_duplicates().itertuples(index=False)
    counted = " and ".join(f"{shape} images and {classes} classes" for shape, classes in sizes)
    return [f"Parameters, FLOPs and MACs are counted for {counted}.", *size_warning(experiment)]
