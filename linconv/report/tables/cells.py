"""Cells that several tables have: an accuracy with its sign, a count with its reduction, a change by training."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from linconv.report.inference import Cell
from linconv.report.links import runs_link
from linconv.report.source import Experiment
from linconv.report.table import TableCell
from linconv.report.text import MISSING, number, spread_text
from linconv.report.verdicts import difference_text
from linconv.statistics import UNTESTED, Comparison


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
    elif comparison.runs or not cell.value.n:
        shown = f"{difference_text(comparison)} ({comparison.runs}) {comparison.mark}".rstrip()
        text = shown if comparison.runs else MISSING
    else:
        text, alone = f"{spread_text(cell.value)} †", True
    mean = cell.value.mean if cell.value.n else None
    return Accuracy(TableCell(text, mean, href=runs_link(cell)), alone)


def comparison_record(found: Comparison | None) -> dict[str, object]:
    """The columns of a comparison in a CSV file, all there is of it; empty ones for the plain network."""
    if found is None:
        return dict.fromkeys(comparison_record(UNTESTED))
    worse, equivalent, better = found.probabilities
    return {
        "difference_runs": found.runs,
        "difference_mean": found.mean,
        "difference_low": found.low,
        "difference_high": found.high,
        "standard_error": found.error.total,
        "freedom": found.error.freedom,
        "seed_error": found.error.seeds,
        "image_error": found.error.images,
        "images": found.images,
        "p": _rounded(found.p),
        "p_adjusted": _rounded(found.p_adjusted),
        "p_equivalence_adjusted": _rounded(found.p_equivalence),
        "margin": found.margin.points,
        "margin_share": found.margin.share,
        "p_worse": _rounded(worse),
        "p_equivalent": _rounded(equivalent),
        "p_better": _rounded(better),
        "outcome": found.outcome,
        "differs": found.differs,
        "seeds_needed": found.seeds_needed,
    }


def _rounded(p: float) -> float:
    """Six decimals: adjusted values have no more, and processors differ in the rest."""
    return round(p, 6)


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
