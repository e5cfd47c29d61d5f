"""Which variants a test shows to be more accurate than all that cost no more: the front of accuracy over cost."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from linconv.report.inference import Cell
from linconv.report.source import Experiment
from linconv.statistics import differing


class Front:
    """All pairs of networks and variants on a data set, compared as one family of tests."""

    def __init__(self, experiment: Experiment, cells: Iterable[Cell]) -> None:
        by_dataset: dict[str, list[str]] = {}
        for cell in cells:
            if cell.value.n:
                by_dataset.setdefault(cell.dataset, []).append(_name(cell))
        self._better: set[tuple[str, str, str]] = set()
        for dataset, names in by_dataset.items():
            self._compare(experiment, dataset, names)

    def _compare(self, experiment: Experiment, dataset: str, names: Sequence[str]) -> None:
        model = experiment.joint_model(dataset)
        if model is None:
            return
        pairs, alpha = itertools.combinations(names, 2), experiment.config.statistics.alpha
        for (one, other), difference in differing(model, pairs, alpha).items():
            self._better.add((dataset, *((one, other) if difference > 0 else (other, one))))

    def holds(self, cell: Cell, cost: float, points: Iterable[tuple[Cell, float]]) -> bool:
        """Whether a cell with its cost is on the front of some cells with theirs."""
        others = (other for other, price in points if other != cell and price <= cost)
        return all((cell.dataset, _name(cell), _name(other)) in self._better for other in others)


def _name(cell: Cell) -> str:
    """As in the joint model."""
    return f"{cell.architecture}/{cell.variant}"
