"""Accuracies and costs that the answer rests on: LinearConv, the plain network, and the controls of the same size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from linconv.config.methods import PLAIN
from linconv.report.costs import Cost, deployed_time_cost, macs_cost, parameter_cost, timed_form
from linconv.report.inference import Cell, Place, control_of
from linconv.report.source import CellKey, Experiment, once
from linconv.report.tables.families import families
from linconv.statistics import Comparison

VARIANTS_NAMED = 3  # LinearConv variants in a sentence; figures and tables have the rest


class Row(NamedTuple):
    """A variant beside the plain network and the narrower one.

    Args:
        cell: its runs.
        parameters, macs, time: ratios to the plain network, NaN where not counted or timed.
        form: which form was timed; "" for none.
        low_rank: whether coefficients are of low rank; None where it has none.
        to_plain, to_narrow: differences in accuracy, None to itself and to what there is not.
    """

    cell: Cell
    parameters: Cost
    macs: Cost
    time: Cost
    form: str
    low_rank: bool | None
    to_plain: Comparison | None
    to_narrow: Comparison | None

    @property
    def variant(self) -> str:
        """Its name."""
        return self.cell.variant


@dataclass(frozen=True)
class Answer:
    """What one network on a data set says.

    Args:
        experiment: whose results it is.
        place: data set and network.
        rows: the variants that figures show in detail and have a run, the plain network among them.
        linear: names of the LinearConv variants that sentences are about.
        narrow: the plain network with fewer channels; None without one.
    """

    experiment: Experiment
    place: Place
    rows: tuple[Row, ...]
    linear: tuple[str, ...]
    narrow: str | None

    def row(self, variant: str | None) -> Row | None:
        """The row of a variant that has a run."""
        return next((row for row in self.rows if row.variant == variant), None)

    @property
    def compared(self) -> list[Comparison]:
        """Tested differences of LinearConv variants."""
        rows = [row for row in self.rows if row.variant in self.linear]
        return [c for row in rows for c in (row.to_plain, row.to_narrow) if c is not None and c.tested]

    @property
    def weight(self) -> tuple[float, float]:
        """What the answer weighs: the share of the differences that are decided, then how short the intervals are."""
        found = self.compared
        if not found:
            return 0.0, -math.inf
        decided = sum(c.outcome in ("different", "equivalent") for c in found)
        return decided / len(found), -median((c.high - c.low) / 2 for c in found)


@once
def answers(experiment: Experiment) -> tuple[Answer, ...]:
    """The answer of every network on a data set with a run, the weightiest first."""
    places = dict.fromkeys(cell.place for cell in experiment.cells if cell.value.n)
    subjects = [_subject(experiment, place) for place in places]
    to_narrow = _to_narrow(experiment, subjects)
    found = [
        Answer(experiment, s.place, tuple(_row(experiment, c, to_narrow) for c in s.cells), s.linear, s.narrow)
        for s in subjects
    ]
    return tuple(sorted(found, key=lambda a: a.weight, reverse=True))


def leading(experiment: Experiment) -> Answer | None:
    """The weightiest answer of an experiment; None without a finished run."""
    return next(iter(answers(experiment)), None)


def weight(experiment: Experiment) -> tuple[float, float]:
    """The weight of an experiment's weightiest answer: the larger comes first on pages."""
    answer = leading(experiment)
    return (-1.0, -math.inf) if answer is None else answer.weight


def narrow_of(experiment: Experiment, linear: Sequence[str]) -> str | None:
    """The narrower network that LinearConv is compared with.

    The only one, or the first of the size of one of `linear`, else of any LinearConv variant.
    """
    config, known = experiment.config, experiment.config.known_variants
    if control := control_of(config):
        return control
    targets = {v: known[v].narrow_to for v in config.variants if known[v].narrow_to is not None}
    every = [v for v in config.variants if known[v].linear is not None]
    return next((v for of in (linear, every) for w in of for v in targets if targets[v] == known[w]), None)


def main_variants(experiment: Experiment, planned: Sequence[str]) -> tuple[str, ...]:
    """Of some variants the LinearConv ones that an answer is about: the paper's start, one of each size.

    Of equal size is the last one, such as Lr after L. Where none has the paper's start or full coefficients, all.
    """
    known = experiment.config.known_variants
    linear = [v for v in planned if known[v].linear is not None]
    options = {v: known[v].linear for v in linear}
    usual = [v for v, o in options.items() if o is not None and o.init == "paper" and o.sparsity is None]
    sizes = {(o.primary_ratio, o.rank): v for v in usual if (o := options[v]) is not None}
    return tuple(sizes.values() or linear)[:VARIANTS_NAMED]


class _Subject(NamedTuple):
    """What an answer is about; see `Answer`."""

    place: Place
    cells: tuple[Cell, ...]
    linear: tuple[str, ...]
    narrow: str | None


def _subject(experiment: Experiment, place: Place) -> _Subject:
    planned = [c for c in experiment.cells_of(*place) if c.value.n]
    shown = experiment.shown_in_detail([c.variant for c in planned])
    linear = main_variants(experiment, shown)
    narrow = narrow_of(experiment, linear)
    return _Subject(place, tuple(c for c in planned if c.variant in (*shown, narrow)), linear, narrow)


def _to_narrow(experiment: Experiment, subjects: Sequence[_Subject]) -> Mapping[CellKey, Comparison]:
    """Differences to the narrower networks: those of the tables, and what these lack as one family over all places."""
    found: dict[CellKey, Comparison] = {}
    pairs = []
    for place, cells, _, narrow in subjects:
        variants = [cell.variant for cell in cells]
        if narrow is None or narrow not in variants:
            continue
        for family in families(experiment):
            found |= {cell: c for cell, c in family.minus(narrow).items() if cell[:2] == place}
        others = [variant for variant in variants if variant not in (PLAIN, narrow)]
        pairs += [(place, (variant, narrow)) for variant in others if (*place, variant) not in found]
    return found | {(*place, variant): c for (place, (variant, _)), c in experiment.compare(pairs).items()}


def _row(experiment: Experiment, cell: Cell, to_narrow: Mapping[CellKey, Comparison]) -> Row:
    key = cell[:3]
    parameters, macs, time = (of(experiment, key) for of in (parameter_cost, macs_cost, deployed_time_cost))
    to_plain = experiment.comparisons.get(key)
    has_plain = to_plain is not None and to_plain.runs
    form = timed_form(experiment, key) if not math.isnan(time.value) else ""
    options = experiment.config.known_variants[cell.variant].linear
    low_rank = None if options is None else options.rank is not None
    to_plain = to_plain if has_plain else None
    return Row(cell, parameters, macs, time, form, low_rank, to_plain, to_narrow.get(key))
