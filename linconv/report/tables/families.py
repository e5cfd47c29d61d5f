"""The families of tests of an experiment: what its pages compare, each difference with one interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from linconv.config.methods import PLAIN
from linconv.report.inference import control_of
from linconv.report.labels import variant_label
from linconv.report.source import CellKey, Difference, Experiment, once
from linconv.report.tables.budgets import PARAMETERS, Ranking
from linconv.statistics import Comparison


class Family(NamedTuple):
    """Differences whose intervals hold together; `label` says what is subtracted."""

    label: str
    differences: tuple[Difference, ...]

    @property
    def comparisons(self) -> list[Comparison]:
        """Without what they are of."""
        return [one.comparison for one in self.differences]

    def minus(self, reference: str) -> Mapping[CellKey, Comparison]:
        """The differences to one variant."""
        return {one.cell: one.comparison for one in self.differences if one.reference == reference}


@once
def families(experiment: Experiment) -> tuple[Family, ...]:
    """The differences to the plain network, then those to other references.

    These are the references of the ranking at equal parameters, else the one narrow network if there is one.
    """
    found = [_minus(PLAIN, experiment.comparisons)]
    if experiment.config.ranking is not None and experiment.config.ranking.references:
        ranking = Ranking(experiment, PARAMETERS)
        found.append(Family(f"Minus {' or '.join(ranking.options.references)}", ranking.differences))
    elif control := control_of(experiment.config):
        found.append(_minus(control, experiment.controls))
    return tuple(found)


def _minus(reference: str, found: Mapping[CellKey, Comparison]) -> Family:
    label = f"Minus {variant_label(reference)}"
    return Family(label, tuple(Difference(cell, reference, comparison) for cell, comparison in found.items()))
