"""Accuracy ranked at equal cost: the variants that fit a budget, the best first, beside reference variants."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from linconv.report import costs
from linconv.report.budgets import LATENCY, MACS, PARAMETERS, PLAIN, Ranked, Ranking
from linconv.report.costs import Cost, Measure
from linconv.report.formats import MISSING, Column, Entry, Table, decimals, mark_best, number, numeric, spread_text
from linconv.report.labels import architecture_label, dataset_label, variant_label
from linconv.report.run_tables import run_anchor
from linconv.report.source import Experiment
from linconv.report.speed import where
from linconv.report.wording import percent
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


def ranking_parameters(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Accuracy at equal numbers of parameters, as a table and as a tidy frame of one row per cell."""
    return _table(Ranking(experiment, PARAMETERS))


def ranking_macs(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Accuracy at equal multiply-accumulates of a forward pass, likewise."""
    return _table(Ranking(experiment, MACS))


def ranking_latency(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Accuracy at equal measured time of a forward pass, likewise."""
    return _table(Ranking(experiment, LATENCY))


def _table(ranking: Ranking) -> tuple[Table, pd.DataFrame]:
    lines: list[list[str | Entry]] = []
    records, breaks = [], set()
    for rows in ranking.places:
        for i, row in enumerate(rows):
            if not i or row.group != rows[i - 1].group:
                breaks.add(len(lines))
                start = len(lines)
            lines.append(_line(ranking, row, rows))
            records.append(_record(ranking, row, rows))
            ranked = row.budget is not None and row.group != PLAIN
            if ranked and (i + 1 == len(rows) or rows[i + 1].group != row.group):
                mark_best(lines[start:], 5, highest=True)
    columns = [
        *(Column(name, align="l") for name in ("data set", "network", "budget")),
        *(Column("rank"), Column("variant", align="l"), Column("top-1 (%)"), Column("interval")),
        *(Column(name) for name, *_ in ranking.kind.columns[:1]),
        *(Column("ratio"), *(Column(name) for name, *_ in ranking.kind.columns[1:])),
    ]
    for name in ranking.options.references:
        columns += [Column("difference", f"minus {name}"), Column("verdict", f"minus {name}", "l")]
    table = Table(
        f"ranking-{ranking.kind.name}", _caption(ranking), columns, lines, list(_notes(ranking)), frozenset(breaks)
    )
    return table, pd.DataFrame(records)


def _line(ranking: Ranking, row: Ranked, rows: Sequence[Ranked]) -> list[str | Entry]:
    cell = row.cell
    first, *others = zip(row.costs, ranking.kind.columns, strict=True)
    href = run_anchor(*cell[:3]) if cell.planned > cell.missing else ""
    line: list[str | Entry] = [
        *(dataset_label(cell.dataset), architecture_label(cell.architecture), row.group),
        Entry("" if row.rank is None else str(row.rank), row.rank),
        variant_label(cell.variant),
        Entry(spread_text(cell.value), cell.value.mean if cell.value.n else None, href=href),
        _interval(cell.value),
        _cost(*first),
        numeric(first[0].ratio, 3),
        *(_cost(cost, column) for cost, column in others),
    ]
    for name in ranking.options.references:
        line += _compared(ranking, row, name, rows)
    return line


def _compared(ranking: Ranking, row: Ranked, name: str, rows: Sequence[Ranked]) -> list[str | Entry]:
    """The difference to a reference and the verdict; a dash where the budget has no such variant."""
    other = ranking.reference(row, name, rows)
    if other == row.cell.variant:
        return ["reference", ""]
    if other is None:
        return [MISSING if row.budget is not None and row.group != PLAIN else "", ""]
    comparison = ranking.comparisons[row.cell[:3], name]
    found = comparison.difference
    if not found.n:
        return [MISSING, "no pair of runs"]
    digits = decimals(found.sd)
    text = f"{number(found.mean, digits, signed=True)} {_interval(found, signed=True)}".rstrip()
    return [Entry(text, found.mean), verdict(comparison)]


def _record(ranking: Ranking, row: Ranked, rows: Sequence[Ranked]) -> dict[str, object]:
    """One row of the CSV file."""
    record: dict[str, object] = {
        **dict(zip(("dataset", "architecture", "variant"), row.cell[:3], strict=True)),
        **{"group": row.group, "budget": row.budget, "rank": row.rank, "planned": row.cell.planned},
        **{f"top1_{name}": value for name, value in row.cell.value._asdict().items()},
    }
    for cost, (_, _, _, measure) in zip(row.costs, ranking.kind.columns, strict=True):
        record |= {measure.__name__: cost.value, f"{measure.__name__}_ratio": cost.ratio}
    for name in ranking.options.references:
        comparison = ranking.comparisons.get((row.cell[:3], name))
        record[f"{name}_reference"] = ranking.reference(row, name, rows)
        if comparison is None:
            continue
        record |= {f"{name}_{key}": value for key, value in comparison.difference._asdict().items()}
        tests = ("p_difference", "p_equivalence", "p_difference_holm", "p_equivalence_holm")
        record |= {f"{name}_{test}": getattr(comparison, test) for test in tests}
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
        what=ranking.kind.what,
        tolerance=percent(ranking.tolerance),
        level=percent(1 - options.alpha),
        tests=tests if ranking.options.references else "",
    ).replace("  ", " ")


def _notes(ranking: Ranking) -> Iterator[str]:
    yield _COSTS[ranking.kind.name].format(
        batch=ranking.options.batch, where=where(costs.timings(ranking.experiment)) or "nothing yet"
    )
    for name, chosen in ranking.options.references.items():
        labels = ", ".join(map(variant_label, ranking.options.variants_of(name)))
        how = "whatever the cost" if isinstance(chosen, str) else "the one that belongs to the row's budget"
        yield f"minus {name}: {labels}, {how}."
    alpha = ranking.experiment.config.statistics.alpha
    tested = [c for c in ranking.comparisons.values() if not math.isnan(c.p_difference)]
    if tested:
        apart = sum(c.p_difference <= alpha for c in tested)
        yield (
            f"Before the adjustment {apart} of {len(tested)} comparisons differ from 0 at level {alpha:g}; "
            f"{alpha * len(tested):.0f} would by chance alone."
        )
    cells = [row.cell[:3] for rows in ranking.places for row in rows]
    pruned = dict.fromkeys(v for d, a, v in cells if costs.found_in_training(ranking.experiment, (d, a, v)))
    if pruned and ranking.kind is not LATENCY:
        yield f"Counted on the trained networks, mean over the runs: {', '.join(map(variant_label, pruned))}."


def verdict(comparison: Comparison) -> str:
    """The outcome of a comparison with a reference in words."""
    side = "better" if comparison.difference.mean > 0 else "worse"
    if comparison.outcome == "different":
        return side
    if comparison.outcome == "equivalent" and comparison.differs:
        return f"equivalent, though {side}"
    return comparison.text


def _cost(cost: Cost, column: tuple[str, float, int, Measure]) -> Entry:
    _, unit, digits, _ = column
    return numeric(cost.value / unit, digits)


def _interval(spread: Spread, *, signed: bool = False) -> str:
    if math.isnan(spread.low):
        return MISSING if not signed else ""
    low, high = (number(x, decimals(spread.sd), signed=signed) for x in (spread.low, spread.high))
    return f"[{low}, {high}]"
