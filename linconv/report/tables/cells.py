"""Cells that several tables have: an accuracy with its sign, a count with its reduction, a change by training."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from linconv.report.links import runs_link
from linconv.report.source import Experiment
from linconv.report.table import TableCell
from linconv.report.text import MISSING, number, spread_text
from linconv.results.statistics import Cell


class Accuracy(NamedTuple):
    """The accuracy of a cell as the paper prints it, and whether it is absolute for want of a plain network's."""

    cell: TableCell
    alone: bool


def accuracy(experiment: Experiment, cell: Cell) -> Accuracy:
    """Absolute for the plain network, else the difference to it with the sign of the comparison's outcome."""
    comparison = experiment.comparisons.get(cell[:3])
    alone = False
    if comparison is None:
        text = spread_text(cell.value)
    elif cell.difference.n or not cell.value.n:
        text = f"{spread_text(cell.difference, signed=True)} {comparison.mark}".rstrip()
    else:
        text, alone = f"{spread_text(cell.value)} †", True
    mean = cell.value.mean if cell.value.n else None
    return Accuracy(TableCell(text, mean, href=runs_link(cell)), alone)


def reduced(value: float, plain: float | None, unit: float, digits: int) -> TableCell:
    """A count and, in brackets, the factor by which the plain network has more, as the paper states reductions."""
    if pd.isna(value):
        return TableCell(MISSING)
    factor = "" if plain is None or plain == value else f" ({plain / value:.2f}×)"
    return TableCell(number(value / unit, digits) + factor, value / unit)


def change_cell(stages: pd.DataFrame, name: str, digits: int) -> TableCell:
    """A metric of filters before → after training; `stages` has a row for each that was measured."""
    scale = 100 if name.startswith("share") or name == "kernel_sparsity" else 1
    before, after = (scale * float(stages[name].get(stage, float("nan"))) for stage in ("before", "after"))
    texts = [number(value, digits) for value in (before, after)]
    known = [text for text in texts if text != MISSING]
    text = " → ".join(texts) if len(known) == 2 else "".join(known) or MISSING
    return TableCell(text, None if texts[1] == MISSING else after)
