"""Accuracy ranked at equal cost: the variants that fit a budget, the best first, beside reference variants."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from linconv.report.costs import Cost, found_in_training, latency_timings
from linconv.report.labels import variant_label
from linconv.report.links import runs_link
from linconv.report.source import CELL, Experiment
from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, Table, TableCell, numeric
from linconv.report.tables.budgets import LATENCY, MACS, PARAMETERS, CostColumn, Ranked, Ranking
from linconv.report.text import MISSING, decimals, interval_text, number, percent, spread_text
from linconv.report.timings import where_timed
from linconv.results.equivalence import MIN_PAIRS, Comparison
from linconv.results.statistics import Spread

_CAPTION = (
    "Top-1 accuracy (%) on the test set {epoch}, ranked at equal {what}: budgets are shares of the plain network's "
    "cost, and a variant belongs to one if its own lies within ±{tolerance} of it, the best first; variants of other "
    "costs follow, the dearest first. Accuracies are mean ± standard deviation (number of runs) and the {level} "
    "t-interval of the mean; differences are paired by seed, with the {level} t-interval, each on its own. {tests} "
    "Bold: the highest mean accuracy of a budget."
)
_COSTS = {
    "parameters": "Parameters as stored; folded into plain convolutions a variant may have more.",
    "macs": "MACs: multiply-accumulates per image of a forward pass as each layer runs by default (a LinearConv "
    "in its cheaper exact form); budgets are shares of these. Folded: as plain convolutions.",
    "latency": "Time of a forward pass of {batch} images in the form auto; the ratio is the median over rounds of the "
    "time relative to the plain network of the same round. Timed on: {where}.",
}
_TESTS = ("p_difference", "p_equivalence", "p_difference_holm", "p_equivalence_holm")


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
        Column("top-1 (%)", best="highest"),
        Column("interval"),
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
    yield TableCell("" if row.rank is None else str(row.rank), row.rank)
    yield cell.variant
    yield TableCell(spread_text(cell.value), cell.value.mean if cell.value.n else None, href=runs_link(cell))
    yield _interval(cell.value) or MISSING
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
    found = comparison.difference
    if not found.n:
        return [MISSING, "no pair of runs"]
    text = f"{number(found.mean, decimals(found.sd), signed=True)} {_interval(found, signed=True)}".rstrip()
    return [TableCell(text, found.mean), verdict(comparison)]


def _record(ranking: Ranking, row: Ranked, rows: Sequence[Ranked]) -> dict[str, object]:
    """One row of the CSV file."""
    record: dict[str, object] = dict(zip(CELL, row.cell[:3], strict=True))
    record |= {"group": row.group, "budget": row.budget, "rank": row.rank, "planned": row.cell.planned}
    record |= {f"top1_{name}": value for name, value in row.cell.value._asdict().items()}
    for cost, column in zip(row.costs, ranking.by.columns, strict=True):
        record |= {column.name: cost.value, f"{column.name}_ratio": cost.ratio}
    for name in ranking.options.references:
        comparison = ranking.comparisons.get((row.cell[:3], name))
        record[f"{name}_reference"] = ranking.reference(row, name, rows)
        if comparison is None:
            continue
        record |= {f"{name}_{key}": value for key, value in comparison.difference._asdict().items()}
        record |= {f"{name}_{test}": getattr(comparison, test) for test in _TESTS}
        record[f"{name}_verdict"] = verdict(comparison)
    return record


def _caption(ranking: Ranking) -> str:
    options = ranking.experiment.config.statistics
    tested = sum(c.difference.n >= MIN_PAIRS for c in ranking.comparisons.values())
    tests = (
        f"Verdicts are of paired t-tests: of a difference (two-sided) and of equivalence within ±{options.margin:g} "
        "percentage points (two one-sided tests), each kind adjusted on its own (Holm) over the "
        f"{tested} comparisons of this table that have {MIN_PAIRS} or more pairs, at level {options.alpha:g}."
    )
    return _CAPTION.format(
        epoch=ranking.experiment.reported_epoch,
        what=ranking.by.what,
        tolerance=percent(ranking.tolerance),
        level=percent(1 - options.alpha),
        tests=tests if ranking.options.references else "",
    ).replace("  ", " ")


def _notes(ranking: Ranking) -> Iterator[str]:
    yield _COSTS[ranking.by.name].format(
        batch=ranking.options.batch, where=where_timed(latency_timings(ranking.experiment)) or "nothing yet"
    )
    for name, chosen in ranking.options.references.items():
        labels = ", ".join(map(variant_label, ranking.options.variants_of(name)))
        how = "whatever the cost" if isinstance(chosen, str) else "the one that belongs to the row's budget"
        yield f"minus {name}: {labels}, {how}."
    yield from _by_chance(ranking)
    yield from _found_in_training(ranking)


def _by_chance(ranking: Ranking) -> Iterator[str]:
    """How many comparisons differ before the adjustment, and how many would by chance."""
    alpha = ranking.experiment.config.statistics.alpha
    tested = [c for c in ranking.comparisons.values() if not math.isnan(c.p_difference)]
    if tested:
        apart = sum(c.p_difference <= alpha for c in tested)
        yield (
            f"Before the adjustment {apart} of {len(tested)} comparisons differ from 0 at level {alpha:g}; "
            f"{alpha * len(tested):.0f} would by chance alone."
        )


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
    side = "better" if comparison.difference.mean > 0 else "worse"
    if comparison.outcome == "different":
        return side
    if comparison.outcome == "equivalent" and comparison.differs:
        return f"equivalent, though {side}"
    return comparison.text


def _cost(cost: Cost, column: CostColumn) -> TableCell:
    return numeric(cost.value / column.unit, column.digits)


def _interval(spread: Spread, *, signed: bool = False) -> str:
    return interval_text(spread.low, spread.high, decimals(spread.sd), signed=signed)
