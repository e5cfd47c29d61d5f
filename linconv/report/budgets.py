"""Which variants are compared at equal cost: budgets, places in them, and differences to reference variants."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from linconv.config import RankingOptions
from linconv.report import costs
from linconv.report.costs import Cost, Measure
from linconv.report.source import Experiment
from linconv.report.wording import percent
from linconv.results.equivalence import Comparison, compare_family
from linconv.results.statistics import Cell, finished, paired_differences

OTHER, NOT_MEASURED, PLAIN = "other costs", "not measured", "plain"


class Kind(NamedTuple):
    """A ranking: its name, what is equal, the columns of the cost (header, unit, decimals, measure) and its budgets."""

    name: str
    what: str
    columns: tuple[tuple[str, float, int, Measure], ...]

    def budgets(self, options: RankingOptions) -> tuple[float, ...]:
        return options.latency_budgets if self.name == "latency" else options.budgets

    def tolerance(self, options: RankingOptions) -> float:
        return options.latency_tolerance if self.name == "latency" else options.tolerance


class Ranked(NamedTuple):
    """A row: the cell, its group (a budget, `OTHER` ...), its place in it, and its costs, of which the first ranks."""

    cell: Cell
    group: str
    budget: float | None
    rank: int | None
    costs: tuple[Cost, ...]


PARAMETERS = Kind("parameters", "parameters", (("params (M)", 1e6, 3, costs.parameters),))
MACS = Kind(
    "macs",
    "multiply-accumulates",
    (("MACs (M)", 1e6, 2, costs.macs), ("folded (M)", 1e6, 2, costs.macs_folded)),
)
LATENCY = Kind("latency", "measured latency", (("ms per call", 1, 2, costs.latency),))


class Ranking:
    """One table: its rows in order, and the comparisons with the references, which are one family of tests."""

    def __init__(self, experiment: Experiment, kind: Kind) -> None:
        self.experiment, self.kind = experiment, kind
        self.options = experiment.config.ranking or RankingOptions()
        self.budgets, self.tolerance = kind.budgets(self.options), kind.tolerance(self.options)

    @cached_property
    def places(self) -> list[list[Ranked]]:
        """The rows of each data set and network."""
        names = dict.fromkeys((c.dataset, c.architecture) for c in self.experiment.cells)
        return [self._rows_of(self.experiment.cells_of(*name)) for name in names]

    def _rows_of(self, cells: Sequence[Cell]) -> list[Ranked]:
        rows = []
        for cell in cells:
            found = tuple(measure(self.experiment, cell[:3]) for *_, measure in self.kind.columns)
            ratio = found[0].ratio
            budget = None if math.isnan(ratio) else self.options.budget_of(ratio, self.budgets, self.tolerance)
            if cell.baseline:
                group = PLAIN
            elif math.isnan(ratio):
                group = NOT_MEASURED
            else:
                group = OTHER if budget is None else percent(budget)
            rows.append(Ranked(cell, group, budget, None, found))
        out = [row for row in rows if row.group == PLAIN]
        for group in map(percent, self.budgets):
            out += _by_accuracy(row for row in rows if row.group == group)
        others = [row for row in rows if row.group == OTHER]
        out += sorted(others, key=lambda row: -row.costs[0].ratio)
        return out + [row for row in rows if row.group == NOT_MEASURED]

    @cached_property
    def comparisons(self) -> dict[tuple[costs.Place, str], Comparison]:
        """By cell and reference."""
        values = self._values
        pairs = {
            (row.cell[:3], name): (row.cell[:3], (*row.cell[:2], other))
            for rows in self.places
            for row in rows
            for name in self.options.references
            if (other := self.reference(row, name, rows)) not in (None, row.cell.variant)
        }
        options = self.experiment.config.statistics
        family = [paired_differences(values[own], values[other]).tolist() for own, other in pairs.values()]
        found = compare_family(family, margin=options.margin, alpha=options.alpha)
        return dict(zip(pairs, found, strict=True))

    @cached_property
    def _values(self) -> dict[costs.Place, pd.Series]:
        """Accuracies by seed of every planned cell."""
        runs = self.experiment.runs
        groups: dict[Any, pd.DataFrame] = dict(iter(runs.groupby(["dataset", "architecture", "variant"], sort=False)))
        return {c[:3]: finished(groups.get(c[:3], runs.iloc[:0]), "top1") for c in self.experiment.cells}

    def reference(self, row: Ranked, name: str, rows: Sequence[Ranked]) -> str | None:
        """What a row is compared with: the one variant, or of several the nearest to the middle of the row's budget."""
        chosen, planned = self.options.references[name], {r.cell.variant: r for r in rows}
        if row.group == PLAIN:  # compared with nothing, and perhaps what others are compared with
            return row.cell.variant if row.cell.variant in self.options.variants_of(name) else None
        if isinstance(chosen, str):
            return chosen if chosen in planned else None
        near = [planned[v] for v in chosen if v in planned and planned[v].budget == row.budget is not None]
        middle = row.budget or math.nan
        return min(near, key=lambda r: abs(r.costs[0].ratio - middle)).cell.variant if near else None


def _by_accuracy(rows: Iterable[Ranked]) -> list[Ranked]:
    """The best first, with their ranks; those without a finished run last, and without one."""
    done = sorted(rows, key=lambda row: (not row.cell.value.n, -row.cell.value.mean))
    return [row._replace(rank=i if row.cell.value.n else None) for i, row in enumerate(done, 1)]
