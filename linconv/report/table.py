"""A table before it is text: its columns, its cells, and the builder of its rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from linconv.report.labels import architecture_label, dataset_label, variant_label
from linconv.report.text import number


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: its header.
        group: a header above it that neighbors share, "" for none.
        align: l or r.
        best: which value of each group of rows is printed in bold.
        label: what prints the names in the column as readers know them.
    """

    name: str
    group: str = ""
    align: Literal["l", "r"] = "r"
    best: Literal["", "highest", "lowest"] = ""
    label: Callable[[str], str] | None = None


DATASET = Column("data set", align="l", label=dataset_label)
NETWORK = Column("network", align="l", label=architecture_label)
VARIANT = Column("variant", align="l", label=variant_label)


@dataclass(frozen=True)
class TableCell:
    """A cell: its text, the number it sorts by, whether it is the best of its group, and what it links to in HTML."""

    text: str
    value: float | None = None
    best: bool = False
    href: str = ""


Row = Sequence[str | TableCell]


@dataclass(frozen=True)
class Table:
    """A table. `breaks` are the rows that a rule precedes; `notes` are printed below; `label` refers to it in LaTeX."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    breaks: frozenset[int] = frozenset()
    label: str = ""


def as_cell(cell: str | TableCell) -> TableCell:
    """A cell given as plain text, or as it is."""
    return TableCell(cell) if isinstance(cell, str) else cell


def numeric(value: float | None, digits: int, *, signed: bool = False) -> TableCell:
    """`number` as a cell that sorts by the unrounded value."""
    known = value is not None and not math.isnan(value)
    return TableCell(number(value, digits, signed=signed), value if known else None)


def count(value: int) -> TableCell:
    """A whole number without separators, as a cell that sorts by it."""
    return TableCell(str(value), value)


class Rows:
    """The rows of a table, added from above: names as readers know them, rules between groups, the best in bold."""

    def __init__(self, columns: Sequence[Column], *, group: Collection[str] = ()) -> None:
        """`group` names the columns that group the rows: a rule separates rows that differ in one of them."""
        self.columns = columns
        self._grouped_by = [i for i, column in enumerate(columns) if column.name in group and not column.group]
        self._rows: list[list[str | TableCell]] = []
        self._groups: list[tuple[str | TableCell, ...]] = []
        self._compared: list[bool] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, *cells: str | TableCell, compared: bool = True) -> None:
        """Add a row. Names are given as in the configuration; a row that is not `compared` is never the best."""
        columns = zip(self.columns, cells, strict=True)
        row = [c.label(cell) if c.label and isinstance(cell, str) else cell for c, cell in columns]
        self._rows.append(row)
        self._groups.append(tuple(cells[i] for i in self._grouped_by))
        self._compared.append(compared)

    def table(self, caption: str, notes: Sequence[str] = (), *, empty: str = "") -> Table:
        """The table. `empty` is a note that stands alone where there is no row and no other note."""
        starts = [i for i, group in enumerate(self._groups) if not i or group != self._groups[i - 1]]
        for start, end in itertools.pairwise([*starts, len(self._rows)]):
            compared = list(itertools.compress(self._rows[start:end], self._compared[start:end]))
            for i, column in enumerate(self.columns):
                if column.best:
                    _mark_best(compared, i, highest=column.best == "highest")
        if empty and not self._rows and not notes:
            notes = [empty]
        breaks = frozenset(starts) if self._grouped_by else frozenset()
        return Table(caption, self.columns, self._rows, list(notes), breaks)


def _mark_best(rows: Sequence[list[str | TableCell]], column: int, *, highest: bool) -> None:
    """Mark the best of the values in one column of `rows`; nothing where they are all the same."""
    cells = [(row, as_cell(row[column])) for row in rows]
    values = [cell.value for _, cell in cells if cell.value is not None]
    if len(set(values)) < 2:
        return
    best = max(values) if highest else min(values)
    for row, cell in cells:
        if cell.value == best:
            row[column] = replace(cell, best=True)
