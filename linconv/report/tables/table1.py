"""The paper's table 1 (WACV 2021) with our numbers: what every network and variant reaches and costs."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from linconv.report.inference import Cell
from linconv.report.labels import dataset_label, place_label, variant_label
from linconv.report.published import size_warning
from linconv.report.source import CELL, Experiment
from linconv.report.table import NETWORK, VARIANT, Column, Rows, Table, TableCell, numeric
from linconv.report.tables.cells import accuracy, comparison_record, reduced
from linconv.report.text import MISSING, number
from linconv.report.verdicts import legend, tested_text
from linconv.report.wording import gap_notes

_COUNTS = ("params", "flops_paper", "macs_folded", "macs_feature")
_COUNT_COLUMNS = (
    Column("params (M)", best="lowest"),
    Column("FLOPs (B)"),  # by the paper's rule, which is no merit
    Column("folded", "MACs (M)", best="lowest"),
    Column("feature", "MACs (M)", best="lowest"),
)


def table1(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Accuracy, parameters and cost of every network and variant, as a table and as a tidy frame.

    The frame has one row per data set, network and variant, with absolute accuracies, differences and tests.
    """
    config = experiment.config
    top1 = [Column(dataset_label(dataset), "top-1 (%)") for dataset in config.datasets]
    rows = Rows([NETWORK, VARIANT, *top1, *_COUNT_COLUMNS], group=["network"])
    planned = {cell[:3]: cell for cell in experiment.cells}
    records, alone = [], False
    for architecture in config.architectures:
        for variant in experiment.variants_of(architecture):
            accuracies: list[str | TableCell] = []
            for dataset in config.datasets:
                cell = planned.get((dataset, architecture, variant))
                if cell is None:  # excluded by the configuration
                    accuracies.append(MISSING)
                    continue
                found = accuracy(experiment, cell)
                alone |= found.alone
                accuracies.append(found.cell)
                records.append(_record(experiment, cell))
            rows.add(architecture, variant, *accuracies, *_counts(experiment, architecture, variant))
    return rows.table(_caption(experiment), list(_notes(experiment, alone))), pd.DataFrame(records)


def _caption(experiment: Experiment) -> str:
    tested = tested_text(experiment, experiment.comparisons.values())
    return (
        f"Top-1 accuracy (%) on the test set {experiment.reported_epoch} [interval] (runs): absolute for Conv, minus "
        f"Conv for the others. {tested} FLOPs by the paper's rule, with its factors; multiply-accumulates (MACs) per "
        "image. Bold: the lowest counts of a network."
    )


def _counts(experiment: Experiment, architecture: str, variant: str) -> list[str | TableCell]:
    model, plain = experiment.model(architecture, variant), experiment.model(architecture, "conv")
    if model is None:
        return [MISSING] * len(_COUNT_COLUMNS)
    base = {name: None if plain is None else plain[name] for name in _COUNTS}
    flops = reduced(model["flops_paper"], base["flops_paper"], 1e9, 3)
    if pd.notna(model["flops_paper_quirk"]):
        flops = TableCell(f"{flops.text} ‡", flops.value)
    return [
        reduced(model["params"], base["params"], 1e6, 2),
        flops,
        numeric(model["macs_folded"] / 1e6, 1),
        numeric(model["macs_feature"] / 1e6, 1),
    ]


def _record(experiment: Experiment, cell: Cell) -> dict[str, object]:
    """One row of the CSV file."""
    comparison = experiment.comparisons.get(cell[:3])
    model = experiment.model(cell.architecture, cell.variant)
    record = {name: getattr(cell, name) for name in (*CELL, "planned", "diverged", "missing")}
    record |= {f"top1_{name}": value for name, value in cell.value._asdict().items()}
    record |= comparison_record(comparison)
    return record | {name: None if model is None else model[name] for name in _COUNTS}


def _notes(experiment: Experiment, alone: bool) -> Iterator[str]:
    if alone:
        yield "† absolute accuracy: no finished run of Conv with the same seed to compare with."
    yield from legend(experiment)
    yield from gap_notes(experiment)
    yield from _sparse(experiment)
    yield from _pruned(experiment)
    yield from _quirks(experiment)
    yield from _sizes(experiment)


def _sparse(experiment: Experiment) -> Iterator[str]:
    """One note per variant with sparse coefficients: how sparse they became, beside what was wanted."""
    runs = experiment.runs
    done = runs[(runs["status"] == "ok") & runs["coefficient_sparsity"].notna()]
    for variant, cells in _means(done, ["coefficient_sparsity"]).items():
        shares = [f"{where} {100 * mean['coefficient_sparsity']:.0f} %" for where, mean in cells]
        options = experiment.config.known_variants[variant].linear
        wanted = f", wanted {100 * options.sparsity:.0f} %" if options and options.sparsity else ""
        label = variant_label(variant)
        yield f"{label}: share of zero coefficients after training (mean): {', '.join(shares)}{wanted}."


def _pruned(experiment: Experiment) -> Iterator[str]:
    """One note per pruned variant: what is left of the network, which is known once it is trained."""
    done = experiment.runs[experiment.runs["macs"].notna()]
    for variant, cells in _means(done, ["params", "macs"]).items():
        left = [
            f"{where} {number(mean['params'] / 1e6, 2)} M parameters, {number(mean['macs'] / 1e6, 1)} M MACs"
            for where, mean in cells
        ]
        yield f"{variant_label(variant)}: left after training (mean): {'; '.join(left)}."


def _means(runs: pd.DataFrame, columns: list[str]) -> dict[str, list[tuple[str, pd.Series]]]:
    """By variant, the networks on data sets with the means of some columns over their runs."""
    means: dict[str, list[tuple[str, pd.Series]]] = {}
    for _, mean in runs.groupby(CELL, sort=False)[columns].mean().reset_index().iterrows():
        where = place_label(mean["architecture"], mean["dataset"])
        means.setdefault(mean["variant"], []).append((where, mean))
    return means


def _quirks(experiment: Experiment) -> Iterator[str]:
    frame = experiment.complexity
    shown = frame[frame["architecture"].isin(experiment.config.architectures)]
    if shown["flops_paper_quirk"].notna().any():
        yield "‡ the paper's cell needs a quirk of the released code or of its rounding, see the table of its columns."


def _sizes(experiment: Experiment) -> Iterator[str]:
    """What the counts are for: data sets of another size train slightly other first and last layers."""
    sizes = [f"{shape} images and {classes} classes" for shape, classes in experiment.counted_sizes]
    if not sizes:
        yield "Parameters, FLOPs and MACs were not measured."
        return
    yield f"Parameters, FLOPs and MACs are counted for {' and '.join(sizes)}."
    yield from size_warning(experiment)
