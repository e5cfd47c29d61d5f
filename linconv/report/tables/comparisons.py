"""Every difference that was tested, with all that is known of it: to the plain network, and to the references."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from linconv.report.labels import variant_label
from linconv.report.source import CELL, Difference, Experiment
from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, Table, TableCell, numeric
from linconv.report.tables.cells import comparison_record
from linconv.report.tables.families import families
from linconv.report.text import MISSING, number
from linconv.report.verdicts import difference_text, margin_notes, noise_notes, open_notes, tested_text
from linconv.report.wording import gap_notes
from linconv.statistics import Comparison

_COLUMNS = [
    DATASET,
    NETWORK,
    VARIANT,
    Column("minus", align="l", label=variant_label),
    Column("points"),
    Column("raw", "p"),
    Column("adjusted", "p"),
    Column("margin"),
    Column("worse", "P (%)"),
    Column("equivalent", "P (%)"),
    Column("better", "P (%)"),
    Column("verdict", align="l"),
    Column("runs"),
    Column("that would decide"),
]


def comparisons_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The differences of all families of tests, see `linconv.report.tables.families`."""
    rows = Rows(_COLUMNS, group=["data set", "network", "minus"])
    records = []
    for family in families(experiment):
        for found in family.differences:
            rows.add(*_cells(found))
            own = dict(zip(CELL, found.cell, strict=True)) | {"reference": found.reference}
            records.append(own | comparison_record(found.comparison))
    return rows.table(_caption(experiment), list(_notes(experiment))), pd.DataFrame(records)


def _caption(experiment: Experiment) -> str:
    texts = [f"{f.label}: {_lower(tested_text(experiment, f.comparisons))}" for f in families(experiment)]
    return (
        f"Differences of the top-1 accuracy in percentage points [simultaneous interval]. {' '.join(texts)} Raw p and "
        "the probabilities P of worse, equivalent and better are not adjusted."
    )


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _cells(difference: Difference) -> Iterator[str | TableCell]:
    yield from (*difference.cell, difference.reference)
    found = difference.comparison
    yield TableCell(difference_text(found), found.mean) if found.runs else MISSING
    yield _p(found.p)
    yield _p(found.p_adjusted)
    yield f"±{number(found.margin.points, 2)}" if found.margin.points == found.margin.points else MISSING
    yield from (numeric(100 * p, 0) for p in found.probabilities)
    yield found.text
    yield TableCell(str(found.runs), found.runs)
    yield _needed(found)


def _p(p: float) -> TableCell:
    return TableCell("<0.0001", p) if p < 0.0001 else numeric(p, 4)


def _needed(found: Comparison) -> str:
    """The runs of each side with which an open verdict would close."""
    if found.outcome != "undecided" or not found.tested:
        return ""
    return "no number" if found.seeds_needed is None else str(found.seeds_needed)


def _notes(experiment: Experiment) -> Iterator[str]:
    every = [found for family in families(experiment) for found in family.differences]
    yield from margin_notes(experiment, dict.fromkeys(d.cell[:2] for d in every if d.comparison.runs))
    named = {(*d.cell[:2], f"{d.cell[2]} {d.reference}"): d.comparison for d in every}
    yield from noise_notes(experiment, named)
    yield from gap_notes(experiment)
    for family in families(experiment):
        for note in open_notes(family.comparisons):
            yield note if len(families(experiment)) == 1 else f"{family.label}: {_lower(note)}"
