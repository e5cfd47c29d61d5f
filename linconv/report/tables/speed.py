"""The time of every variant and form relative to the plain network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from linconv.report.labels import architecture_label, variant_label
from linconv.report.source import Experiment
from linconv.report.table import NETWORK, VARIANT, Column, Rows, Table, TableCell, numeric
from linconv.report.timings import CALL, TIMED_FORMS, how_label, macs_ratio, pruned_note, where_timed

_CAPTION = (
    "Time of a call relative to the plain network: the median over rounds of the ratio within a round, and its "
    "quartiles. Below 1 is faster. Equal (≈): the ratio lies within the A/A band, the largest deviation from 1 of "
    "the median and the quartiles of a second plain network. MACs: those of the form auto relative to the plain "
    "network. Folded is a plain convolution; optimized has the faster exact form of every layer."
)
_LEFT = (
    NETWORK,
    Column("activity", align="l"),
    Column("batch"),
    Column("precision", align="l"),
    Column("images/s", "plain"),
    Column("A/A (%)", "plain"),
    VARIANT,
    Column("MACs"),
)


def speed_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The time of every variant and form relative to the plain network, and the rows of throughput.csv."""
    frame = experiment.throughput
    timed = frame[frame["status"] == "ok"]
    forms = [form for form in TIMED_FORMS if form in set(frame["form"])]
    rows = Rows(
        [*_LEFT, *(Column(form, "time") for form in forms)],
        group=["network", "activity", "batch", "precision"],
    )
    call: Any
    for call, arms in timed.groupby(CALL, sort=False):
        backend, precision, architecture, activity, batch = call
        plain = arms[arms["form"] == "plain"].iloc[0]
        speed = plain["images_per_second"]
        for variant, forms_of in arms[arms["form"] != "plain"].groupby("variant", sort=False):
            rows.add(
                architecture,
                activity,
                numeric(float(batch), 0),
                how_label(backend, precision),
                numeric(speed, 0 if speed >= 100 else 1),
                numeric(100 * plain["band"], 1),
                str(variant),
                numeric(macs_ratio(experiment, architecture, str(variant), activity), 2),
                *(_ratio(forms_of[forms_of["form"] == form]) for form in forms),
            )
    notes = [*_notes(frame), *pruned_note(experiment, list(dict.fromkeys(timed["variant"])))]
    return rows.table(_CAPTION, notes), frame


def _ratio(arm: pd.DataFrame) -> TableCell:
    if arm.empty:
        return TableCell("")
    row = arm.iloc[0]
    equal = " ≈" if row["difference"] == "no difference" else ""
    text = f"{row['ratio']:.3f} ({row['ratio_low']:.3f} to {row['ratio_high']:.3f}){equal}"
    return TableCell(text, float(row["ratio"]))


def _notes(frame: pd.DataFrame) -> Iterator[str]:
    if frame.empty:
        yield "Nothing was timed: the configuration has no `throughput`, or no timing is there yet."
        return
    yield f"Timed on {where_timed(frame)}."
    keys: Any
    for keys, arms in frame[frame["status"] != "ok"].groupby(["status", *CALL], sort=False):
        status, backend, precision, architecture, activity, batch = keys
        pairs = dict.fromkeys(zip(arms["variant"], arms["form"], strict=True))
        names = ", ".join(f"{variant_label(variant)} {form}" for variant, form in pairs)
        network, how = architecture_label(architecture), how_label(backend, precision)
        yield f"{network}, {activity}, batch {batch}, {how}: {status}: {names}."
