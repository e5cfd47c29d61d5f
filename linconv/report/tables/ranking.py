"""Accuracy ranked at equal cost: the variants that fit a budget, the best first, beside reference variants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from linconv.report.costs import Cost, found_in_training, latency_timings
from linconv.report.labels import variant_label
from linconv.report.links import runs_link
from linconv.report.source import CELL, Experiment
from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, Table, TableCell, numeric
from linconv.report.tables.budgets import LATENCY, MACS, PARAMETERS, BudgetRank, CostColumn, Ranked, Ranking
from linconv.report.tables.cells import comparison_record
from linconv.report.text import MISSING, percent, spread_text
from linconv.report.timings import where_timed
from linconv.report.verdicts import difference_text, margin_notes, noise_notes, open_notes, tested_text
from linconv.report.wording import gap_notes
from linconv.statistics import Comparison

_CAPTION = (
    "Top-1 accuracy (%) on the test set {epoch} [interval] (runs), ranked at equal {what}: budgets are shares of the "
    "plain network's cost, ± {tolerance}; variants of other costs follow. {tests} Ranks come from {pairs} pairs within "
    "budgets, at level {alpha:g} together. Bold: above all others of its budget by test, "
    "without a diverged run."
)
_COSTS = {
    "parameters": "Parameters as stored; folded into plain convolutions a variant may have more.",
    "macs": "MACs: multiply-accumulates per image of a forward pass as each layer runs by default (a LinearConv "
    "in its cheaper exact form); budgets are shares of these. Folded: as plain convolutions.",
    "latency": "Time of a forward pass of {batch} images in the form auto; the ratio is the median over rounds of the "
    "time relative to the plain network of the same round. Timed on: {where}.",
}


def ranking_parameters_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Accuracy at equal numbers of parameters, as a table and as a tidy frame of one row per cell."""
    return _table(Ranking(experiment, PARAMETERS))


def ranking_macs_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Accuracy at equal multiply-accumulates of a forward pass, as a table and as a tidy frame of one row per cell."""
    return _table(Ranking(experiment, MACS))


def ranking_latency_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Accuracy at equal measured time of a forward pass, as a table and as a tidy frame of one row per cell."""
    return _table(Ranking(experiment, LATENCY))


def _table(ranking: Ranking) -> tuple[Table, pd.DataFrame]:
    first, *others = (Column(column.header) for column in ranking.by.columns)
    columns = [
        DATASET,
        NETWORK,
        Column("budget", align="l"),
        Column("rank"),
        VARIANT,
        Column("top-1 (%)"),
        first,
        Column("ratio"),
        *others,
    ]
    for name in ranking.options.references:
        columns += [Column("difference", f"minus {name}"), Column("verdict", f"minus {name}", "l")]
    rows = Rows(columns, group=["data set", "network", "budget"])
    for network in ranking.places:
        for row in network:
            rows.add(*_cells(ranking, row, network), compared=row.in_budget)
    records = [_record(ranking, row, network) for network in ranking.places for row in network]
    return rows.table(_caption(ranking), list(_notes(ranking))), pd.DataFrame(records)


def _cells(ranking: Ranking, row: Ranked, rows: Sequence[Ranked]) -> Iterator[str | TableCell]:
    cell = row.cell
    first, *others = (_cost(*pair) for pair in zip(row.costs, ranking.by.columns, strict=True))
    yield from (cell.dataset, cell.architecture, row.group)
    place, text = (None, "") if row.rank is None else (row.rank.place, _rank_text(row.rank))
    yield TableCell(text, place)
    yield cell.variant
    ranked = [other for other in rows if other.rank and other.group == row.group]
    best = row.rank == BudgetRank(1, shared=False) and len(ranked) > 1 and not cell.diverged
    mean = cell.value.mean if cell.value.n else None
    yield TableCell(spread_text(cell.value), mean, best=best, href=runs_link(cell))
    yield first
    yield numeric(row.costs[0].ratio, 3)
    yield from others
    for name in ranking.options.references:
        yield from _compared(ranking, row, name, rows)


def _compared(ranking: Ranking, row: Ranked, name: str, rows: Sequence[Ranked]) -> list[str | TableCell]:
    """The difference to a reference and the verdict; a dash where the budget has no such variant."""
    other = ranking.reference(row, name, rows)
    if other == row.cell.variant:
        return ["reference", ""]
    if other is None:
        return [MISSING if row.in_budget else "", ""]
    comparison = ranking.comparisons[row.cell[:3], name]
    if not comparison.runs:
        return [MISSING, "no run"]
    return [TableCell(difference_text(comparison), comparison.mean), verdict(comparison)]


def _record(ranking: Ranking, row: Ranked, rows: Sequence[Ranked]) -> dict[str, object]:
    """One row of the CSV file."""
    record: dict[str, object] = dict(zip(CELL, row.cell[:3], strict=True))
    record |= {"group": row.group, "budget": row.budget, "planned": row.cell.planned}
    record["diverged"] = row.cell.diverged
    record |= {"rank": row.rank and row.rank.place, "rank_shared": row.rank and row.rank.shared}
    record |= {f"top1_{name}": value for name, value in row.cell.value._asdict().items()}
    for cost, column in zip(row.costs, ranking.by.columns, strict=True):
        record |= {column.name: cost.value, f"{column.name}_ratio": cost.ratio}
    for name in ranking.options.references:
        comparison = ranking.comparisons.get((row.cell[:3], name))
        record[f"{name}_reference"] = ranking.reference(row, name, rows)
        if comparison is None:
            continue
        record |= {f"{name}_{key}": value for key, value in comparison_record(comparison).items()}
        record[f"{name}_verdict"] = verdict(comparison)
    return record


def _caption(ranking: Ranking) -> str:
    experiment = ranking.experiment
    return _CAPTION.format(
        epoch=experiment.reported_epoch,
        what=ranking.by.what,
        tolerance=percent(ranking.tolerance),
        alpha=experiment.config.statistics.alpha,
        tests=tested_text(experiment, [d.comparison for d in ranking.differences])
        if ranking.options.references
        else "",
        pairs=sum(c.tested for c in ranking.pairs.values()),
    ).replace("  ", " ")


def _notes(ranking: Ranking) -> Iterator[str]:
    yield _COSTS[ranking.by.name].format(
        batch=ranking.options.batch, where=where_timed(latency_timings(ranking.experiment)) or "nothing yet"
    )
    for name, chosen in ranking.options.references.items():
        labels = ", ".join(map(variant_label, ranking.options.variants_of(name)))
        how = "whatever the cost" if isinstance(chosen, str) else "the one that belongs to the row's budget"
        yield f"minus {name}: {labels}, {how}."
    if ranking.options.references:
        found = {cell: comparison for (cell, _), comparison in ranking.comparisons.items()}
        yield from margin_notes(ranking.experiment, dict.fromkeys(cell[:2] for cell in found))
        yield from noise_notes(ranking.experiment, found)
        yield from open_notes(d.comparison for d in ranking.differences)
    yield from gap_notes(ranking.experiment)
    yield from _found_in_training(ranking)


def _found_in_training(ranking: Ranking) -> Iterator[str]:
    """The variants whose counts are those of their runs."""
    if ranking.by is LATENCY:
        return
    cells = [row.cell[:3] for rows in ranking.places for row in rows]
    pruned = dict.fromkeys(cell[2] for cell in cells if found_in_training(ranking.experiment, cell))
    if pruned:
        yield f"Counted on the trained networks, mean over the runs: {', '.join(map(variant_label, pruned))}."


def verdict(comparison: Comparison) -> str:
    """The outcome of a comparison with a reference in words."""
    side = "better" if comparison.mean > 0 else "worse"
    if comparison.outcome == "different":
        return side
    if comparison.outcome == "equivalent" and comparison.differs:
        return f"equivalent, though {side}"
    return comparison.text


def _cost(cost: Cost, column: CostColumn) -> TableCell:
    return numeric(cost.value / column.unit, column.digits)


def _rank_text(rank: BudgetRank) -> str:
    return f"{rank.place}=" if rank.shared else str(rank.place)
