"""Every run on its own: what it gave and where it comes from."""

from __future__ import annotations

import pandas as pd

from linconv.report.labels import draw_label
from linconv.report.links import run_anchor
from linconv.report.source import CELL, Experiment
from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, Table, TableCell, count, numeric
from linconv.report.text import MISSING
from linconv.report.wording import warning_notes

_COLUMNS = (
    DATASET,
    NETWORK,
    VARIANT,
    Column("seed"),
    Column("status", align="l"),
    Column("top-1 (%)"),
    Column("test loss"),
    Column("epochs"),
    Column("params"),
    Column("seconds"),
    Column("hardware", align="l"),
    Column("torch", align="l"),
    Column("commit", align="l"),
    Column("configuration", align="l"),
)


def runs_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Every run with its outcome and origin, as a table and as the frame of all that was collected of runs."""
    frame = experiment.runs
    rows = Rows(_COLUMNS)
    for _, run in frame.iterrows():
        rows.add(
            *run[CELL],
            TableCell(draw_label(run["seed"], run["split"]), run["seed"], href=run_anchor(*run[CELL])),
            run["status"],
            numeric(run["top1"], 2),
            numeric(run["test_loss"], 4),
            count(run["epoch"]),
            TableCell(f"{run['params']:,}", run["params"]),
            numeric(run["seconds"], 1),
            MISSING if pd.isna(run["hardware"]) else run["hardware"],
            run["torch"],
            _commit(run),
            run["config_hash"],
        )
    caption = (
        f"Runs of experiment {experiment.config.experiment}: accuracy (%) and loss on the test set "
        f"{experiment.reported_epoch}, seconds of wall time."
    )
    return rows.table(caption, warning_notes(experiment), empty="No run was collected."), frame


def _commit(run: pd.Series) -> str:
    commit = MISSING if pd.isna(run["git_commit"]) else run["git_commit"][:8]
    return commit + (" (dirty)" if run["git_dirty"] == "true" else "")
