"""The paper's published numbers, and its parameter and FLOP columns beside ours (WACV 2021, table 1)."""

from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from linconv.report.formats import MISSING, Column, Table, number
from linconv.report.labels import architecture_label, variant_label
from linconv.report.source import Experiment

INPUT_SHAPE, CLASSES = "3x32x32", 10  # what the paper's two columns are counted for


@cache
def published(table: str = "table1") -> dict[tuple[str, str], dict[str, str]]:
    """The cells of a table of the paper as printed, by network and variant.

    Accuracies are in percent, those of other variants than conv as signed differences to it; `params_m` is in
    millions and `flops_b` in billions. A cell the paper lacks is absent.
    """
    with Path(__file__).with_name("paper").joinpath(f"{table}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        (row.pop("architecture"), row.pop("variant")): {name: text for name, text in row.items() if text}
        for row in rows
    }


class Comparison(NamedTuple):
    """One printed cell of the paper beside our count to the same digits."""

    architecture: str
    variant: str
    column: str
    paper: str
    ours: str
    as_released: str
    equal: str
    quirk: str


def compare_columns(experiment: Experiment) -> list[Comparison]:
    """All parameter cells, then all FLOP cells, of the paper's table 1 beside our counts.

    `equal` is yes, as released (equal with the quirk of the released code), truncated (equal when cut instead of
    rounded), no, or missing (not counted in this experiment).
    """
    cells = published()
    return [_compare(experiment, *cell, "params_m", 1e6, 2) for cell in cells] + [
        _compare(experiment, *cell, "flops_b", 1e9, 3) for cell in cells
    ]


def _compare(
    experiment: Experiment, architecture: str, variant: str, column: str, unit: float, digits: int
) -> Comparison:
    paper = published()[architecture, variant][column]
    model = experiment.model(architecture, variant)
    if model is None:
        return Comparison(architecture, variant, column, paper, MISSING, "", "missing", "")
    if column == "params_m":
        value, released, quirk = float(model["params"]), None, ""
    else:
        value = float(model["flops_paper"])
        released = None if pd.isna(model["flops_paper_as_released"]) else model["flops_paper_as_released"]
        quirk = "" if pd.isna(model["flops_paper_quirk"]) else str(model["flops_paper_quirk"])
    ours = number(value / unit, digits)
    with_quirk = "" if released is None else number(float(released) / unit, digits)
    if ours == paper:
        equal = "yes"
    elif with_quirk == paper:
        equal = "as released"
    elif quirk and paper in (_truncated(v / unit, digits) for v in (value, released) if v is not None):
        equal = "truncated"
    else:
        equal = "no"
    return Comparison(architecture, variant, column, paper, ours, with_quirk, equal, quirk)


def _truncated(value: float, digits: int) -> str:
    return number(math.floor(value * 10**digits) / 10**digits, digits)


def paper_columns(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The published parameter and FLOP columns beside ours, as a table and as a frame of one row per cell."""
    cells = compare_columns(experiment)
    half = len(cells) // 2
    rows, breaks, quirks = [], set(), []
    for i, (params, flops) in enumerate(zip(cells[:half], cells[half:], strict=True)):
        mark = ""
        if flops.quirk:
            if flops.quirk not in quirks:
                quirks.append(flops.quirk)
            mark = f" [{quirks.index(flops.quirk) + 1}]"
        if flops.variant == "conv":
            breaks.add(i)
        rows.append(
            [
                *(architecture_label(params.architecture), variant_label(params.variant)),
                *(params.paper, params.ours, params.equal),
                *(flops.paper, flops.ours, flops.as_released, flops.equal + mark),
            ]
        )
    table = Table(
        label="paper-columns",
        caption="Parameters and FLOPs of the paper's Table 1 beside ours, to the printed digits. FLOPs follow the "
        "paper's rule for one image and are no cost model.",
        columns=[
            *(Column("network", align="l"), Column("variant", align="l")),
            *(Column(name, "params (M)", align) for name, align in (("paper", "r"), ("ours", "r"), ("equal", "l"))),
            *(Column(name, "FLOPs (B)") for name in ("paper", "ours", "as released")),
            Column("equal", "FLOPs (B)", "l"),
        ],
        rows=rows,
        notes=[_summary(cells[:half], "parameter"), _summary(cells[half:], "FLOP")]
        + [f"[{i}] {quirk}" for i, quirk in enumerate(quirks, 1)]
        + size_warning(experiment),
        breaks=frozenset(breaks),
    )
    return table, pd.DataFrame(cells)


def _summary(cells: list[Comparison], kind: str) -> str:
    def count(*verdicts: str) -> int:
        return sum(cell.equal in verdicts for cell in cells)

    words = {
        "as released": "more with a quirk of the released code",
        "truncated": "more where the paper cut the digits instead of rounding",
        "no": "different",
        "missing": "not counted in this experiment",
    }
    parts = [f"{count('yes')} of {len(cells)} {kind} cells are equal"]
    parts += [f"{count(verdict)} {text}" for verdict, text in words.items() if count(verdict)]
    return ", ".join(parts) + "."


def size_warning(experiment: Experiment) -> list[str]:
    """A note where the networks were counted for another input than the paper's, else nothing."""
    sizes = experiment.complexity[["input_shape", "classes"]].drop_duplicates()
    return [
        f"Counted for {shape} and {classes} classes; the paper's columns are for {INPUT_SHAPE} and {CLASSES}."
        for shape, classes in sizes.itertuples(index=False)
        if (shape, classes) != (INPUT_SHAPE, CLASSES)
    ]
