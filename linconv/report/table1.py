"""The paper's table 1 (WACV 2021) with our numbers: what every network and variant reaches and costs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pandas as pd

from linconv.report.formats import MISSING, Column, Entry, Table, mark_best, number, numeric, spread_text
from linconv.report.labels import architecture_label, dataset_label, place_label, variant_label
from linconv.report.paper import size_warning
from linconv.report.run_tables import run_anchor
from linconv.report.source import Experiment
from linconv.report.wording import legend, tests_text
from linconv.results.statistics import Cell

_COUNTS = ("params", "flops_paper", "macs_folded", "macs_feature")
_TESTS = ("p_difference", "p_equivalence", "p_difference_holm", "p_equivalence_holm", "outcome", "differs")


def table1(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Accuracy, parameters and cost of every network and variant, as a table and as a tidy frame.

    The frame has one row per data set, network and variant, with absolute accuracies, differences and tests.
    """
    config = experiment.config
    cells = {cell[:3]: cell for cell in experiment.cells}
    rows: list[list[str | Entry]] = []
    breaks: set[int] = set()
    records, absolute = [], False
    for architecture in config.architectures:
        breaks.add(start := len(rows))
        for variant in experiment.variants_of(architecture):
            row: list[str | Entry] = [architecture_label(architecture), variant_label(variant)]
            model, plain = experiment.model(architecture, variant), experiment.model(architecture, "conv")
            for dataset in config.datasets:
                cell = cells.get((dataset, architecture, variant))
                if cell is None:  # excluded by the configuration
                    row.append(MISSING)
                    continue
                entry, alone = accuracy(experiment, cell)
                absolute |= alone
                row.append(entry)
                records.append(_record(experiment, cell, model))
            rows.append(row + _costs(model, plain))
        for i in range(len(config.datasets)):
            mark_best(rows[start:], 2 + i, highest=True)
        for i in (0, 2, 3):  # FLOPs by the paper's rule are no merit
            mark_best(rows[start:], 2 + len(config.datasets) + i, highest=False)
    notes = [*legend(experiment), *_gaps(experiment), *_sparse(experiment), *_pruned(experiment)]
    notes += [*_quirks(experiment), *_sizes(experiment)]
    if absolute:
        notes.insert(0, "† absolute accuracy: no finished run of Conv with the same seed to compare with.")
    columns = [
        *(Column("network", align="l"), Column("variant", align="l")),
        *(Column(dataset_label(dataset), "top-1 (%)") for dataset in config.datasets),
        *(Column("params (M)"), Column("FLOPs (B)"), Column("folded", "MACs (M)"), Column("feature", "MACs (M)")),
    ]
    return Table("table1", _caption(experiment), columns, rows, notes, frozenset(breaks)), pd.DataFrame(records)


def _caption(experiment: Experiment) -> str:
    return (
        f"Top-1 accuracy (%) on the test set {experiment.reported_epoch}, mean ± standard deviation (number of runs): "
        "absolute for Conv, signed difference to Conv (paired by seed) for the other variants, as the paper prints it. "
        f"{tests_text(experiment)} Parameters in millions; FLOPs in billions by the paper's rule, which is no cost "
        "model; both with the factor by which Conv has more; multiply-accumulates per image in millions, folded into "
        "plain convolutions and in feature space. Bold: the highest mean accuracy and the lowest counts of a network."
    )


def accuracy(experiment: Experiment, cell: Cell) -> tuple[Entry, bool]:
    """The accuracy of a cell with the sign of its comparison, and whether it is absolute for want of a baseline."""
    mean = cell.value.mean if cell.value.n else None
    comparison = experiment.comparisons.get(cell[:3])
    alone = False
    if comparison is None:
        text = spread_text(cell.value)
    elif cell.difference.n or not cell.value.n:
        text = f"{spread_text(cell.difference, signed=True)} {comparison.mark}".rstrip()
    else:
        text, alone = f"{spread_text(cell.value)} †", True
    return Entry(text, mean, href=run_anchor(*cell[:3]) if cell.planned > cell.missing else ""), alone


def reduced(value: float, plain: float | None, unit: float, digits: int) -> Entry:
    """A count and, in brackets, the factor by which the plain network has more, as the paper states reductions."""
    if pd.isna(value):
        return Entry(MISSING)
    factor = "" if plain is None or plain == value else f" ({plain / value:.2f}×)"
    return Entry(number(value / unit, digits) + factor, value / unit)


def _costs(model: pd.Series | None, plain: pd.Series | None) -> list[str | Entry]:
    if model is None:
        return [MISSING] * 4
    base = {name: None if plain is None else plain[name] for name in _COUNTS}
    flops = reduced(model["flops_paper"], base["flops_paper"], 1e9, 3)
    if pd.notna(model["flops_paper_quirk"]):
        flops = Entry(f"{flops.text} ‡", flops.value)
    return [
        *(reduced(model["params"], base["params"], 1e6, 2), flops),
        *(numeric(model["macs_folded"] / 1e6, 1), numeric(model["macs_feature"] / 1e6, 1)),
    ]


def _record(experiment: Experiment, cell: Cell, model: pd.Series | None) -> dict[str, object]:
    """One row of the CSV file."""
    comparison = experiment.comparisons.get(cell[:3])
    return {
        **{name: getattr(cell, name) for name in ("dataset", "architecture", "variant", "planned")},
        **{name: getattr(cell, name) for name in ("diverged", "missing")},
        **{f"top1_{name}": value for name, value in cell.value._asdict().items()},
        **{f"difference_{name}": value for name, value in cell.difference._asdict().items()},
        **{name: None if comparison is None else getattr(comparison, name) for name in _TESTS},
        **{name: None if model is None else model[name] for name in _COUNTS},
    }


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
            yield f"{place_label(architecture, dataset)}: of {len(config.seeds)} runs each, {'; '.join(parts)}."


def _sparse(experiment: Experiment) -> Iterator[str]:
    """One note per variant with sparse coefficients: how sparse they became, beside what was wanted."""
    done = experiment.runs[(experiment.runs["status"] == "ok") & experiment.runs["coefficient_sparsity"].notna()]
    reached = done.groupby(list(Cell._fields[:3]), sort=False)["coefficient_sparsity"].mean()
    parts: dict[str, list[str]] = {}
    names: Any
    for names, share in reached.items():
        dataset, architecture, variant = names
        where = place_label(architecture, dataset)
        parts.setdefault(variant, []).append(f"{where} {100 * share:.0f} %")
    for variant, shown in parts.items():
        options = experiment.config.known_variants[variant].linear
        wanted = f", wanted {100 * options.sparsity:.0f} %" if options and options.sparsity else ""
        yield f"{variant_label(variant)}: share of zero coefficients after training (mean): {', '.join(shown)}{wanted}."


def _pruned(experiment: Experiment) -> Iterator[str]:
    """One note per pruned variant: what is left of the network, which is known once it is trained."""
    done = experiment.runs[experiment.runs["macs"].notna()]
    left = done.groupby(list(Cell._fields[:3]), sort=False)[["params", "macs"]].mean()
    parts: dict[str, list[str]] = {}
    names: Any
    for names, costs in left.iterrows():
        dataset, architecture, variant = names
        where = place_label(architecture, dataset)
        counts = f"{number(costs['params'] / 1e6, 2)} M parameters, {number(costs['macs'] / 1e6, 1)} M MACs"
        parts.setdefault(variant, []).append(f"{where} {counts}")
    for variant, shown in parts.items():
        yield f"{variant_label(variant)}: left after training (mean): {'; '.join(shown)}."


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
