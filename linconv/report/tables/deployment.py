"""The time of inference in engines relative to the plain network."""

from __future__ import annotations

from typing import Any

import pandas as pd

from linconv.report.source import Experiment
from linconv.report.table import NETWORK, VARIANT, Column, Rows, Table, TableCell, numeric
from linconv.report.timings import where_timed

_CAPTION = (
    "Time of inference relative to the plain network in the same engine and precision: the median over rounds of the "
    "ratio within a round, and its quartiles. Below 1 is faster. Equal (≈): the ratio lies within the A/A band, the "
    "largest deviation from 1 of the median and the quartiles of a second plain network. Batch normalization is folded "
    "in all networks. Feature and product are exact forms of the layer: [y; A y] of the primary features y, and a "
    "product with [I; A]. Fastest: what linconv.optimize chooses by its clock."
)
FORMS = ("folded", "feature", "product", "fastest")
_CALL = ["precision", "engine", "architecture", "batch_size"]


def deployment_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Inference in engines, as a table and as the rows of deployment.csv."""
    frame = experiment.frames["deployment"]
    return deployment_ratios(frame), frame


def deployment_ratios(frame: pd.DataFrame) -> Table:
    """A row per variant and call; `frame` has the columns of deployment.csv."""
    forms = [form for form in FORMS if form in set(frame["form"])]
    rows = Rows(
        [
            Column("precision", align="l"),
            Column("engine", align="l"),
            NETWORK,
            Column("batch"),
            Column("ms", "plain"),
            Column("MB", "plain"),
            Column("A/A (%)", "plain"),
            VARIANT,
            Column("MB"),
            *(Column(form, "time") for form in forms),
        ],
        group=["precision", "engine", "network", "batch"],
    )
    call: Any
    for call, arms in frame.groupby(_CALL, sort=False):
        precision, engine, architecture, batch = call
        plain = arms[arms["form"] == "plain"].iloc[0]
        for variant, own in arms[arms["form"] != "plain"].groupby("variant", sort=False):
            rows.add(
                precision,
                engine,
                architecture,
                numeric(float(batch), 0),
                numeric(plain["latency_ms"], 2),
                _megabytes(plain["file_bytes"]),
                numeric(100 * plain["band"], 1),
                str(variant),
                _megabytes(own["file_bytes"].min()),
                *(_ratio(own[own["form"] == form]) for form in forms),
            )
    versions = frame[["engine", "engine_version"]].dropna().drop_duplicates().itertuples(index=False)
    engines = ", ".join(f"{engine} {version}" for engine, version in versions if engine != "torch")
    notes = [f"Timed on {where_timed(frame)}{f', {engines}' if engines else ''}.", "MB: of the smallest exported file."]
    return rows.table(_CAPTION, notes)


def _megabytes(size: Any) -> TableCell | str:
    return "" if pd.isna(size) else numeric(float(size) / 1e6, 1)


def _ratio(arm: pd.DataFrame) -> TableCell:
    if arm.empty:
        return TableCell("")
    row = arm.iloc[0]
    equal = " ≈" if row["difference"] == "no difference" else ""
    return TableCell(
        f"{row['ratio']:.3f} ({row['ratio_low']:.3f} to {row['ratio_high']:.3f}){equal}", float(row["ratio"])
    )
