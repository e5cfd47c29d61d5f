"""What the correlation regularizer adds to a training step."""

from __future__ import annotations

import pandas as pd

from linconv.report.source import Experiment
from linconv.report.table import NETWORK, VARIANT, Column, Rows, Table, TableCell, numeric
from linconv.report.timings import where_timed

_CAPTION = (
    "Time of a training step without and with the correlation regularizer, and of the penalty alone, by its own "
    "derivative and by automatic differentiation. Relative: the median over rounds of the ratio to the step without "
    "it, and its quartiles. Averaged: what the penalty adds to a step on average, since it acts on one step of a "
    "period only. A second step without it tells the noise: its largest deviation from 1 is the A/A band."
)
_COLUMNS = (
    NETWORK,
    VARIANT,
    Column("batch"),
    Column("period"),
    Column("layers"),
    Column("A/A (%)"),
    Column("call", align="l"),
    Column("ms"),
    Column("relative"),
    Column("averaged (%)"),
)


def regularizer_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The costs of the regularizer in an experiment, as a table and as the rows of regularizer.csv."""
    frame = experiment.frames["regularizer"]
    return regularizer_costs(frame), frame


def regularizer_costs(frame: pd.DataFrame) -> Table:
    """A row per timed call; `frame` has the columns of regularizer.csv."""
    rows = Rows(_COLUMNS, group=["network", "variant", "batch", "period"])
    for _, call in frame.iterrows():
        averaged = call["averaged"]
        rows.add(
            call["architecture"],
            call["variant"],
            str(call["batch_size"]),
            str(call["period"]),
            str(call["layers"]),
            numeric(100 * call["band"], 1),
            call["arm"],
            numeric(call["milliseconds"], 2),
            TableCell(f"{call['ratio']:.3f} ({call['ratio_low']:.3f} to {call['ratio_high']:.3f})", call["ratio"]),
            "" if pd.isna(averaged) else numeric(100 * averaged, 2, signed=True),
        )
    return rows.table(_CAPTION, [f"Timed on {where_timed(frame)}."])
