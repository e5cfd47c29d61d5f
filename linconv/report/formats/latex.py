"""Tables as LaTeX."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from linconv.report.table import Column, Table, TableCell, as_cell
from linconv.report.text import MISSING

PAGE_ROWS = 50  # of a table


def to_latex(table: Table) -> str:
    """The table as a LaTeX float for \\input, shrunk to the text's width if it is wider.

    One of more than `PAGE_ROWS` rows becomes several floats of one number, cut where a rule is if there is one near.
    Needs the packages booktabs and graphicx, and nothing else.
    """
    parts = list(_pages(table))
    floats = [_latex_float(table, start, end, last=end == parts[-1][1]) for start, end in parts]
    return "\n".join([r"% \usepackage{booktabs,graphicx}", *itertools.chain(*floats), ""])


def _pages(table: Table) -> Iterator[tuple[int, int]]:
    """First row and end of each part of a table that fits on a page."""
    start = 0
    while len(table.rows) - start > PAGE_ROWS:
        rules = [i for i in table.breaks if start + PAGE_ROWS // 2 <= i <= start + PAGE_ROWS]
        end = max(rules, default=start + PAGE_ROWS)
        yield start, end
        start = end
    yield start, len(table.rows)


def _latex_float(table: Table, start: int, end: int, *, last: bool) -> list[str]:
    columns = table.columns
    body = []
    for i, row in enumerate(table.rows[start:end], start):
        if i in table.breaks and i > start:
            body.append(r"\midrule")
        body.append(" & ".join(_latex_cell(as_cell(cell)) for cell in row) + r" \\")
    notes = [rf"\par\smallskip\footnotesize {escape_latex(note)}" for note in table.notes] if last else []
    caption = [rf"\caption{{{escape_latex(table.caption)}}}", rf"\label{{tab:{table.label}}}"]
    if start:
        caption = [r"\addtocounter{table}{-1}", r"\caption{(continued)}"]
    return [
        r"\begin{table*}[tbp]",
        r"\centering",
        *caption,
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
    ]


def _latex_groups(columns: Sequence[Column]) -> list[str]:
    """The upper header row, with a rule below each group; nothing where no column is grouped."""
    if not any(c.group for c in columns):
        return []
    cells, rules, start = [], [], 1
    for group, members in itertools.groupby(columns, key=lambda c: c.group):
        width = len(list(members))
        if group:
            cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escape_latex(group)}}}")
            rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        else:
            cells.append(" & ".join([""] * width) if width > 1 else "")
        start += width
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _latex_cell(cell: TableCell) -> str:
    text = escape_latex(cell.text)
    return rf"\textbf{{{text}}}" if cell.best else text


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
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "→": r"$\to$",
    "≥": r"$\geq$",
}


def escape_latex(text: str) -> str:
    """`text` with LaTeX's special characters and our symbols made printable, and minus signs set as such."""
    if text == MISSING:
        return "--"
    escaped = "".join(_LATEX.get(c, c) for c in text)
    return re.sub(r"(?<![\w.\-])-(?=\d)", "$-$", escaped)
