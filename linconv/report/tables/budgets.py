"""Which variants are compared at equal cost: budgets, ranks in them, and differences to reference variants."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from linconv.config import RankingOptions
from linconv.report.costs import (
    Cost,
    CostMeasure,
    folded_macs_cost,
    latency_cost,
    macs_cost,
    parameter_cost,
)
from linconv.report.inference import Cell, Place
from linconv.report.source import CellKey, Difference, Experiment
from linconv.report.text import percent
from linconv.statistics import Comparison

# Groups of rows that are no budget. The group of a budget is named by its share, such as "50 %".
PLAIN_NETWORK, OTHER_COSTS, NOT_MEASURED = "plain", "other costs", "not measured"


class CostColumn(NamedTuple):
    """A cost as it is printed: its name in the CSV file, its header, its unit, its decimals, and what measures it."""

    name: str
    header: str
    unit: float
    digits: int
    measure: CostMeasure


class RankedBy(NamedTuple):
    """What a ranking holds equal: its name, its name in a sentence, and its columns, of which the first ranks."""

    name: str
    what: str
    columns: tuple[CostColumn, ...]

    def budgets(self, options: RankingOptions) -> tuple[float, ...]:
        return options.latency_budgets if self.name == "latency" else options.budgets

    def tolerance(self, options: RankingOptions) -> float:
        return options.latency_tolerance if self.name == "latency" else options.tolerance


PARAMETERS = RankedBy("parameters", "parameters", (CostColumn("parameters", "params (M)", 1e6, 3, parameter_cost),))
MACS = RankedBy(
    "macs",
    "multiply-accumulates",
    (
        CostColumn("macs", "MACs (M)", 1e6, 2, macs_cost),
        CostColumn("macs_folded", "folded (M)", 1e6, 2, folded_macs_cost),
    ),
)
LATENCY = RankedBy("latency", "measured latency", (CostColumn("latency", "ms per call", 1, 2, latency_cost),))


class BudgetRank(NamedTuple):
    """One more than the variants that a test shows to be better; `shared` where others of the budget have as many."""

    place: int
    shared: bool


class Ranked(NamedTuple):
    """A row: the cell, its group (a budget, `OTHER_COSTS` ...), its rank in it, and its costs."""

    cell: Cell
    group: str
    budget: float | None
    rank: BudgetRank | None
    costs: tuple[Cost, ...]

    @property
    def in_budget(self) -> bool:
        """Whether it is ranked among others of its cost."""
        return self.budget is not None and self.group != PLAIN_NETWORK


class Ranking:
    """One table: its rows in order, the comparisons with the references, and all pairs of a budget, which give ranks.

    The comparisons with references and the pairs are a family of tests each.
    """

    def __init__(self, experiment: Experiment, by: RankedBy) -> None:
        self.experiment, self.by = experiment, by
        self.options = experiment.config.ranking or RankingOptions()
        self.budgets, self.tolerance = by.budgets(self.options), by.tolerance(self.options)

    @cached_property
    def places(self) -> list[list[Ranked]]:
        """The rows of each data set and network."""
        names = dict.fromkeys((c.dataset, c.architecture) for c in self.experiment.cells)
        return [self._in_order([self._placed(cell) for cell in self.experiment.cells_of(*name)]) for name in names]

    def _placed(self, cell: Cell) -> Ranked:
        costs = tuple(column.measure(self.experiment, cell[:3]) for column in self.by.columns)
        ratio = costs[0].ratio
        budget = None if math.isnan(ratio) else self.options.budget_of(ratio, self.budgets, self.tolerance)
        if cell.baseline:
            group = PLAIN_NETWORK
        elif math.isnan(ratio):
            group = NOT_MEASURED
        else:
            group = OTHER_COSTS if budget is None else percent(budget)
        return Ranked(cell, group, budget, None, costs)

    def _in_order(self, rows: Sequence[Ranked]) -> list[Ranked]:
        """The plain network, each budget by accuracy, other costs from the highest on, and what was not measured."""
        groups: dict[str, list[Ranked]] = {}
        for row in rows:
            groups.setdefault(row.group, []).append(row)
        budgets = (self._by_accuracy(groups.get(percent(budget), ())) for budget in self.budgets)
        others = sorted(groups.get(OTHER_COSTS, ()), key=lambda row: -row.costs[0].ratio)
        plain, unknown = groups.get(PLAIN_NETWORK, ()), groups.get(NOT_MEASURED, ())
        return [*plain, *itertools.chain.from_iterable(budgets), *others, *unknown]

    def _by_accuracy(self, rows: Iterable[Ranked]) -> list[Ranked]:
        """The best first, with their ranks; those without a finished run last, and without one."""
        ordered = sorted(rows, key=lambda row: (not row.cell.value.n, -row.cell.value.mean))
        ran = [row for row in ordered if row.cell.value.n]
        places = {row.cell: 1 + sum(self.is_better(other.cell, row.cell) for other in ran) for row in ran}
        alike = Counter(places.values())
        ranks = {cell: BudgetRank(place, alike[place] > 1) for cell, place in places.items()}
        return [row._replace(rank=ranks.get(row.cell)) for row in ordered]

    def is_better(self, one: Cell, other: Cell) -> bool:
        """Whether a test shows that one of two variants of a budget is the more accurate one."""
        pair, back = (one.variant, other.variant), (other.variant, one.variant)
        found = self.pairs.get((one.place, pair))
        if found is not None:
            return found.differs and found.mean > 0
        found = self.pairs.get((one.place, back))
        return found is not None and found.differs and found.mean < 0

    @cached_property
    def pairs(self) -> dict[tuple[Place, tuple[str, str]], Comparison]:
        """All pairs of variants of one network in one budget, a family of tests."""
        groups: dict[tuple[Place, str], list[str]] = {}
        for row in map(self._placed, self.experiment.cells):
            if row.in_budget and row.cell.value.n:
                groups.setdefault((row.cell.place, row.group), []).append(row.cell.variant)
        pairs = [(at, pair) for (at, _), names in groups.items() for pair in itertools.combinations(names, 2)]
        return self.experiment.compare(pairs, plan=False)

    @cached_property
    def comparisons(self) -> dict[tuple[CellKey, str], Comparison]:
        """By cell and reference."""
        pairs = {
            (row.cell[:3], name): (row.cell.place, (row.cell.variant, other))
            for rows in self.places
            for row in rows
            for name in self.options.references
            if (other := self.reference(row, name, rows)) is not None and other != row.cell.variant
        }
        found = self.experiment.compare(list(pairs.values()))
        return {key: found[pair] for key, pair in pairs.items()}

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """`comparisons`, reference by reference; a pair that two have in both directions once."""
        found: dict[tuple[object, ...], Difference] = {}
        for name, rows in itertools.product(self.options.references, self.places):
            for row in rows:
                comparison, other = self.comparisons.get((row.cell[:3], name)), self.reference(row, name, rows)
                if comparison is not None and other is not None:
                    pair = (row.cell.place, frozenset((row.cell.variant, other)))
                    found.setdefault(pair, Difference(row.cell[:3], other, comparison))
        return tuple(found.values())

    def reference(self, row: Ranked, name: str, rows: Sequence[Ranked]) -> str | None:
        """What a row is compared with: the one variant, or of several the nearest to the middle of the row's budget."""
        chosen, planned = self.options.references[name], {r.cell.variant: r for r in rows}
        if row.group == PLAIN_NETWORK:  # compared with nothing, and perhaps what others are compared with
            return row.cell.variant if row.cell.variant in self.options.variants_of(name) else None
        if isinstance(chosen, str):
            return chosen if chosen in planned else None
        near = [planned[v] for v in chosen if v in planned and planned[v].budget == row.budget is not None]
        middle = row.budget or math.nan
        return min(near, key=lambda r: abs(r.costs[0].ratio - middle)).cell.variant if near else None
