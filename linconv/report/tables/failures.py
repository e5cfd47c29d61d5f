"""The runs that failed, and why."""

from __future__ import annotations

import pandas as pd

from linconv.report.labels import draw_label
from linconv.report.source import CELL, Experiment
from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, Table

_COLUMNS = (
    DATASET,
    NETWORK,
    VARIANT,
    Column("seed"),
    Column("reason", align="l"),
    Column("detail", align="l"),
    Column("log", align="l"),
)


def failures_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The runs that are missing, damaged, stale or diverged, and why, as a table and as a frame."""
    frame = experiment.frames["failures"]
    rows = Rows(_COLUMNS)
    for _, failure in frame.astype(object).where(frame.notna(), "").iterrows():
        seed = draw_label(int(failure["seed"]), int(failure["split"])) if failure["seed"] != "" else ""
        rows.add(*failure[CELL], seed, failure["reason"], failure["detail"], failure["log"])
    return rows.table("Runs that failed, and why.", empty="Every planned run finished."), frame
