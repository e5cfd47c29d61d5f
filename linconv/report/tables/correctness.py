"""The checks of every exact form of the layer on a device against double precision on a CPU."""

from __future__ import annotations

from typing import Any

import pandas as pd

from linconv.report.source import Experiment
from linconv.report.table import Column, Rows, Table, TableCell, count

_CAPTION = (
    "Outputs and gradients of every form of the layer on a device against double precision on a CPU: the largest "
    "error relative to the largest value, over all coefficients, geometries and layouts."
)
_COLUMNS = (
    Column("device", align="l"),
    Column("precision", align="l"),
    Column("form", align="l"),
    Column("checks"),
    Column("failed"),
    Column("largest error"),
    Column("tolerance"),
)


def correctness_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The checks of an experiment's device, as a table and as the rows of correctness.csv."""
    frame = experiment.frames["correctness"]
    rows = Rows(_COLUMNS, group=["device", "precision"])
    at: Any
    for at, checks in frame.groupby(["device", "hardware", "precision", "form"], sort=False):
        device, hardware, precision, form = at
        error = checks["error"].max() if checks["error"].notna().all() else None  # a value that is not finite has none
        rows.add(
            f"{hardware} ({device})",
            precision,
            form,
            count(len(checks)),
            count(int((~checks["passed"]).sum())),
            TableCell("not finite" if error is None else f"{error:.1e}", error),
            TableCell(f"{checks['tolerance'].max():.1e}", checks["tolerance"].max()),
        )
    return rows.table(_CAPTION), frame
