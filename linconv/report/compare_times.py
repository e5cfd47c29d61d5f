"""The timings of two result folders side by side."""

from __future__ import annotations

import pandas as pd

from linconv.config.throughput import plan_throughput
from linconv.report.formats import Column, Table, number
from linconv.report.labels import architecture_label, variant_label
from linconv.report.speed import where
from linconv.results.folders import Results
from linconv.results.throughput import read_cells, throughput_hash
from linconv.results.tidy import COLUMNS, throughput_rows

_CELL = ["architecture", "activity", "batch_size", "precision", "backend"]
_ARM = [*_CELL, "variant", "form"]


def compare_times(a: Results, b: Results) -> tuple[str, Table]:
    """A sentence on where the timings of two folders were made ("" where there are none), and a row per arm in both.

    An arm is a network with a variant in a form, in training or inference, at one batch and precision.
    """
    ours, theirs = _timed(a), _timed(b)
    both = ours.merge(theirs, on=_ARM, suffixes=("_a", "_b"))
    rows = []
    for _, arm in both.iterrows():
        how = arm["precision"] if arm["backend"] == "eager" else f"{arm['precision']}, {arm['backend']}"
        rows.append(
            [
                *(architecture_label(arm["architecture"]), arm["activity"], f"{arm['batch_size']:.0f}", how),
                *(variant_label(arm["variant"]), arm["form"]),
                *(number(arm[f"images_per_second_{side}"], 1) for side in "ab"),
                number(arm["images_per_second_b"] / arm["images_per_second_a"], 3),
                *(number(arm[f"ratio_{side}"], 3) for side in "ab"),
            ]
        )
    table = Table(
        label="compare-times",
        caption="Images per second (B / A above 1: B is faster), and the time of a call relative to the plain network "
        "of the same folder (below 1: faster than it).",
        columns=[
            *(Column("network", align="l"), Column("activity", align="l"), Column("batch")),
            *(Column(name, align="l") for name in ("precision", "variant", "form")),
            *(Column(name, "images/s") for name in ("A", "B", "B / A")),
            *(Column(name, "time, relative") for name in ("A", "B")),
        ],
        rows=rows,
    )
    return _sentence(ours, theirs, len(both)), table


def _timed(results: Results) -> pd.DataFrame:
    """The arms that were timed as the folder's configuration says, as rows of throughput.csv."""
    options, rows = results.config.throughput, []
    if options is not None:
        names = [key.name for key in plan_throughput(options)]
        grid = throughput_hash(options, results.config.known_variants)
        cells, _ = read_cells(results.root / "throughput", names, grid)
        rows = [row for row in throughput_rows(cells) if row["status"] == "ok"]
    frame = pd.DataFrame(rows, columns=COLUMNS["throughput"])
    return frame.drop_duplicates(_ARM)  # the plain network is there twice, to tell the noise


def _sentence(ours: pd.DataFrame, theirs: pd.DataFrame, both: int) -> str:
    if not both:
        return "" if ours.empty and theirs.empty else "No timing is in both folders."
    text = f"{both} timings are in both folders"
    devices = [set(f[["hardware", "device", "threads"]].itertuples(index=False, name=None)) for f in (ours, theirs)]
    if devices[0] != devices[1]:
        return (
            f"{text}, made on different devices: {where(ours)} in A; {where(theirs)} in B. Their B / A compares the "
            "devices as well as the code; times relative to the plain network are each of one device."
        )
    places = [where(f) for f in (ours, theirs)]
    return f"{text}, made on devices of one kind: " + (
        f"{places[0]}." if places[0] == places[1] else f"{places[0]} in A; {places[1]} in B."
    )
