"""Tables as text: one description, written as Markdown and as LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from linconv.results.statistics import Spread

MISSING = "-"  # a value we should have and do not; what nobody has is an empty cell


class Column(NamedTuple):
    """A column: its header, what it is grouped under ("" for nothing), and its alignment, l or r."""

    name: str
    group: str = ""
    align: str = "r"


@dataclass(frozen=True)
class Table:
    """A table of strings. `breaks` are the rows that a rule precedes; `notes` are printed below."""

    label: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    breaks: frozenset[int] = frozenset()


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """A number with fixed decimals, `MISSING` for None and NaN; a signed zero carries a plus."""
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    if float(text) == 0:
        return text.replace("-", "+" if signed else "")
    return text


def spread_text(spread: Spread, *, signed: bool = False) -> str:
    """Mean ± standard deviation (number of runs); without the deviation for one run."""
    if spread.n == 0:
        return MISSING
    deviation = "" if math.isnan(spread.sd) else f" ± {number(spread.sd, 2)}"
    return f"{number(spread.mean, 2, signed=signed)}{deviation} ({spread.n})"


def to_markdown(table: Table) -> str:
    """The table as aligned Markdown: caption, table, notes."""
    headers = [_escape_markdown(" ".join(filter(None, (c.group, c.name)))) for c in table.columns]
    rows = [[_escape_markdown(cell) for cell in row] for row in table.rows]
    widths = [max(3, *(len(row[i]) for row in [headers, *rows])) for i in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(w) if c.align == "r" else cell.ljust(w)
            for cell, w, c in zip(cells, widths, table.columns, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    marks = [
        "-" * (w - 1) + ":" if c.align == "r" else ":" + "-" * (w - 1)
        for w, c in zip(widths, table.columns, strict=True)
    ]
    parts = [_escape_markdown(table.caption), "", line(headers), f"| {' | '.join(marks)} |", *map(line, rows)]
    if table.notes:
        parts += ["", *(f"* {_escape_markdown(note)}" for note in table.notes)]
    return "\n".join(parts) + "\n"


def to_latex(table: Table) -> str:
    """The table as a LaTeX float for \\input, shrunk to the text's width if it is wider.

    Needs the packages booktabs and graphicx, and nothing else.
    """
    columns = table.columns
    body = []
    for i, row in enumerate(table.rows):
        if i in table.breaks and i:
            body.append(r"\midrule")
        body.append(" & ".join(map(escape_latex, row)) + r" \\")
    notes = [rf"\par\smallskip\footnotesize {escape_latex(note)}" for note in table.notes]
    return "\n".join(
        [
            r"% \usepackage{booktabs,graphicx}",
            r"\begin{table*}[tbp]",
            r"\centering",
            rf"\caption{{{escape_latex(table.caption)}}}",
            rf"\label{{tab:{table.label}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{''.join(c.align for c in columns)}}}",
            r"\toprule",
            *_latex_groups(columns),
            " & ".join(escape_latex(c.name) for c in columns) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            *notes,
            r"\end{table*}",
            "",
        ]
    )


def _latex_groups(columns: Sequence[Column]) -> list[str]:
    """The upper header row, with a rule below each group; nothing where no column is grouped."""
    if not any(c.group for c in columns):
        return []
    cells, rules, start = [], [], 1
    for group, members in groupby(columns, key=lambda c: c.group):
        width = len(list(members))
        if group:
            cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escape_latex(group)}}}")
            rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        else:
            cells.append(" & ".join([""] * width) if width > 1 else "")
        start += width
    return [" & ".join(cells) + r" \\", " ".join(rules)]


_LATEX = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
}


def escape_latex(text: str) -> str:
    """`text` with LaTeX's special characters and our symbols made printable, and minus signs set as such."""
    if text == MISSING:
        return "--"
    escaped = "".join(_LATEX.get(c, c) for c in text)
    return re.sub(r"(?<![\w.\-])-(?=\d)", "$-$", escaped)


def _escape_markdown(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*").replace("\n", " ")
