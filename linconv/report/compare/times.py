"""The timings of two result folders side by side."""

from __future__ import annotations

import pandas as pd

from linconv.report.table import NETWORK, VARIANT, Column, Rows, Table
from linconv.report.text import number
from linconv.report.timings import CALL, how_label, where_timed
from linconv.results.folders import Results
from linconv.results.kinds import COLUMNS, KINDS
from linconv.results.planned import read_planned

_ARM = [*CALL, "variant", "form"]
_CAPTION = (
    "Images per second (B / A above 1: B is faster), and the time of a call relative to the plain network of the same "
    "folder (below 1: faster than it)."
)
_COLUMNS = (
    NETWORK,
    Column("activity", align="l"),
    Column("batch"),
    Column("precision", align="l"),
    VARIANT,
    Column("form", align="l"),
    Column("A", "images/s"),
    Column("B", "images/s"),
    Column("B / A", "images/s"),
    Column("A", "time, relative"),
    Column("B", "time, relative"),
)


def times_compared(a: Results, b: Results) -> tuple[str, Table]:
    """A sentence on where the timings of two folders were made ("" where there are none), and a row per arm in both.

    An arm is a network with a variant in a form, in training or inference, at one batch and precision.
    """
    ours, theirs = _timed(a), _timed(b)
    both = ours.merge(theirs, on=_ARM, suffixes=("_a", "_b"))
    rows = Rows(_COLUMNS)
    for _, arm in both.iterrows():
        rows.add(
            arm["architecture"],
            arm["activity"],
            f"{arm['batch_size']:.0f}",
            how_label(arm["backend"], arm["precision"]),
            arm["variant"],
            arm["form"],
            number(arm["images_per_second_a"], 1),
            number(arm["images_per_second_b"], 1),
            number(arm["images_per_second_b"] / arm["images_per_second_a"], 3),
            number(arm["ratio_a"], 3),
            number(arm["ratio_b"], 3),
        )
    return _sentence(ours, theirs, len(both)), rows.table(_CAPTION)


def _timed(results: Results) -> pd.DataFrame:
    """The arms that were timed as the folder's configuration says, as rows of throughput.csv."""
    kind = KINDS["throughput"]
    found, _ = read_planned(kind, results.config, results.root)
    rows = [row for row in kind.rows(found)["throughput"] if row["status"] == "ok"]
    frame = pd.DataFrame(rows, columns=COLUMNS["throughput"])
    return frame.drop_duplicates(_ARM)  # the plain network is there twice, to tell the noise


def _sentence(ours: pd.DataFrame, theirs: pd.DataFrame, both: int) -> str:
    if not both:
        return "" if ours.empty and theirs.empty else "No timing is in both folders."
    text = f"{both} timings are in both folders"
    devices = [set(f[["hardware", "device", "threads"]].itertuples(index=False, name=None)) for f in (ours, theirs)]
    places = [where_timed(f) for f in (ours, theirs)]
    apart = f"{places[0]} in A; {places[1]} in B."
    if devices[0] != devices[1]:
        return (
            f"{text}, made on different devices: {apart} Their B / A compares the devices as well as the code; times "
            "relative to the plain network are each of one device."
        )
    return f"{text}, made on devices of one kind: {f'{places[0]}.' if places[0] == places[1] else apart}"
