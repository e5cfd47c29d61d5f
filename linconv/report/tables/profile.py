"""Where the time of a call goes, by kind of operation, in the plain network and in a variant."""

from __future__ import annotations

from typing import Any

import pandas as pd

from linconv.report.source import Experiment
from linconv.report.table import NETWORK, VARIANT, Column, Rows, Table, TableCell, numeric
from linconv.report.timings import where_timed

_CAPTION = (
    "Milliseconds of a call under the profiler by kind of operation, and their share of the call (%), in the plain "
    "network and in a variant in the form auto. Training: a whole step. The sum is that of all kinds; the last row is "
    "the median time of a call without the profiler."
)
_COLUMNS = (
    NETWORK,
    Column("activity", align="l"),
    Column("batch"),
    VARIANT,
    Column("operations", align="l"),
    Column("ms", "plain"),
    Column("share (%)", "plain"),
    Column("ms", "variant"),
    Column("share (%)", "variant"),
)
_CALL = ["architecture", "activity", "batch_size", "variant", "hardware", "channels_last"]


def profile_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The profiles of an experiment, as a table and as the rows of profile.csv."""
    frame = experiment.frames["profile"]
    return profiles(frame), frame


def profiles(frame: pd.DataFrame) -> Table:
    """A row per network, variant and kind of operation; `frame` has the columns of profile.csv."""
    rows = Rows(_COLUMNS, group=["network", "activity", "batch", "variant"])
    call: Any
    for call, kinds in frame.groupby(_CALL, sort=False):
        architecture, activity, batch, variant, *_ = call
        left = (architecture, activity, str(batch), variant)
        plain, own = (kinds[kinds["network"] == name] for name in ("plain", variant))
        for (_, first), (_, second) in zip(plain.iterrows(), own.iterrows(), strict=True):
            rows.add(*left, first["operations"], *_time_and_share(first), *_time_and_share(second))
        for name, time in (("sum", _sum), ("without the profiler", _unprofiled)):
            rows.add(*left, name, numeric(time(plain), 3), "", numeric(time(own), 3), "")
    return rows.table(_CAPTION, [f"Measured on {where_timed(frame)}."])


def _time_and_share(kind: pd.Series) -> tuple[TableCell, TableCell]:
    return numeric(kind["milliseconds"], 3), numeric(100 * kind["share"], 1)


def _sum(kinds: pd.DataFrame) -> float:
    return float(kinds["milliseconds"].sum())


def _unprofiled(kinds: pd.DataFrame) -> float:
    return float(kinds["unprofiled_milliseconds"].iloc[0])
