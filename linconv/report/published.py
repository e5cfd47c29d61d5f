"""The paper's published numbers (WACV 2021, tables 1 and 2), and its counted columns beside our counts."""

from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from linconv.report.source import Experiment
from linconv.report.text import MISSING, number

INPUT_SHAPE, CLASSES = "3x32x32", 10  # what the paper's two columns are counted for


class CountColumn(NamedTuple):
    """A column of counts in the paper: its name there and here, its header, its unit and its decimals."""

    name: str
    ours: str
    header: str
    unit: float
    digits: int


COUNT_COLUMNS = (
    CountColumn("params_m", "params", "params (M)", 1e6, 2),
    CountColumn("flops_b", "flops_paper", "FLOPs (B)", 1e9, 3),
)


@cache
def published(table: str = "table1") -> dict[tuple[str, str], dict[str, str]]:
    """The cells of a table of the paper as printed, by network and variant.

    Accuracies are in percent: absolute for conv, signed differences to conv for the other variants. `params_m` is in
    millions and `flops_b` in billions. A cell that the paper lacks is absent.
    """
    with Path(__file__).with_name("paper").joinpath(f"{table}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        (row.pop("architecture"), row.pop("variant")): {name: text for name, text in row.items() if text}
        for row in rows
    }


def published_datasets(table: str = "table1") -> list[str]:
    """The data sets of a table of the paper, in the order of its columns."""
    counts = {column.name for column in COUNT_COLUMNS} | {"note"}
    return [name for name in dict.fromkeys(n for row in published(table).values() for n in row) if name not in counts]


def published_top1(architecture: str, variant: str, dataset: str, table: str = "table1") -> float | None:
    """The paper's absolute accuracy in percent: its difference added to its conv; None where it prints none."""
    cells = published(table)
    text = cells.get((architecture, variant), {}).get(dataset)
    base = cells.get((architecture, "conv"), {}).get(dataset)
    if text is None or base is None:
        return None
    return float(base) if variant == "conv" else round(float(base) + float(text), 1)


class PrintedCount(NamedTuple):
    """One printed count of the paper beside our count to the same digits.

    `equal` is yes, as released (equal with the quirk of the released code), truncated (equal when cut instead of
    rounded), no, or missing (not counted in this experiment).
    """

    architecture: str
    variant: str
    column: str
    paper: str
    ours: str
    as_released: str
    equal: str
    quirk: str


def printed_counts(experiment: Experiment) -> list[PrintedCount]:
    """All parameter cells, then all FLOP cells, of the paper's table 1 beside our counts."""
    return [
        _printed_count(architecture, variant, column, experiment.model(architecture, variant))
        for column in COUNT_COLUMNS
        for architecture, variant in published()
    ]


def _printed_count(architecture: str, variant: str, column: CountColumn, model: pd.Series | None) -> PrintedCount:
    paper = published()[architecture, variant][column.name]
    if model is None:
        return PrintedCount(architecture, variant, column.name, paper, MISSING, "", "missing", "")
    value = float(model[column.ours])
    released, quirk = _quirk(model) if column.ours == "flops_paper" else (None, "")
    ours = number(value / column.unit, column.digits)
    with_quirk = "" if released is None else number(released / column.unit, column.digits)
    cut = {_truncated(v / column.unit, column.digits) for v in (value, released) if v is not None and quirk}
    if ours == paper:
        equal = "yes"
    elif with_quirk == paper:
        equal = "as released"
    else:
        equal = "truncated" if paper in cut else "no"
    return PrintedCount(architecture, variant, column.name, paper, ours, with_quirk, equal, quirk)


def _quirk(model: pd.Series) -> tuple[float | None, str]:
    """The count of the paper's FLOPs by the released code, if it is another, and the quirk that explains the cell."""
    released, quirk = model["flops_paper_as_released"], model["flops_paper_quirk"]
    return None if pd.isna(released) else float(released), "" if pd.isna(quirk) else str(quirk)


def _truncated(value: float, digits: int) -> str:
    return number(math.floor(value * 10**digits) / 10**digits, digits)


def size_warning(experiment: Experiment) -> list[str]:
    """A note where the networks were counted for another input than the paper's, else nothing."""
    return [
        f"Counted for {shape} and {classes} classes; the paper's columns are for {INPUT_SHAPE} and {CLASSES}."
        for shape, classes in experiment.counted_sizes
        if (shape, classes) != (INPUT_SHAPE, CLASSES)
    ]
