"""Every difference that was tested, with all that is known of it: to the plain network, and to the narrow one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from linconv.report.inference import control_of
from linconv.report.labels import variant_label
from linconv.report.source import CELL, CellKey, Experiment
from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, Table, TableCell, numeric
from linconv.report.tables.cells import comparison_record
from linconv.report.text import MISSING, number
from linconv.report.verdicts import difference_text, margin_notes, noise_notes, open_notes, tested_text
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
    """The comparisons with the plain network and, as a second family, with the one narrow network if there is one."""
    families = {"conv": experiment.comparisons}
    control = control_of(experiment.config)
    if control is not None:
        families[control] = experiment.controls
    rows = Rows(_COLUMNS, group=["data set", "network", "minus"])
    records = []
    for reference, found in families.items():
        for cell, comparison in found.items():
            rows.add(*_cells(cell, reference, comparison))
            own = dict(zip(CELL, cell, strict=True)) | {"reference": reference}
            records.append(own | comparison_record(comparison))
    return rows.table(_caption(experiment, families), list(_notes(experiment, families))), pd.DataFrame(records)


def _caption(experiment: Experiment, families: Mapping[str, Mapping[CellKey, Comparison]]) -> str:
    texts = [
        f"Minus {variant_label(reference)}: {_lower(tested_text(experiment, found.values()))}"
        for reference, found in families.items()
    ]
    return (
        f"Differences of the top-1 accuracy in percentage points [simultaneous interval]. {' '.join(texts)} Raw p and "
        "the probabilities P of worse, equivalent and better are not adjusted."
    )


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _cells(cell: CellKey, reference: str, found: Comparison) -> Iterator[str | TableCell]:
    yield from (*cell, reference)
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


def _notes(experiment: Experiment, families: Mapping[str, Mapping[CellKey, Comparison]]) -> Iterator[str]:
    every = {(*cell[:2], f"{cell[2]} {name}"): c for name, found in families.items() for cell, c in found.items()}
    yield from margin_notes(experiment, dict.fromkeys(cell[:2] for cell, c in every.items() if c.runs))
    yield from noise_notes(experiment, every)
    for reference, found in families.items():
        for note in open_notes(found.values()):
            yield note if len(families) == 1 else f"Minus {variant_label(reference)}: {_lower(note)}"
