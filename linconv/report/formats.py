"""Tables as text: one description, written as Markdown, as LaTeX and as HTML."""

from __future__ import annotations

import html
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from linconv.results.statistics import Spread

PAGE_ROWS = 50  # of a LaTeX table
MISSING = "-"  # a value we should have and do not; what nobody has is an empty cell


class Column(NamedTuple):
    """A column: its header, what it is grouped under ("" for nothing), and its alignment, l or r."""

    name: str
    group: str = ""
    align: str = "r"


@dataclass(frozen=True)
class Entry:
    """A cell: its text, the number it sorts by, whether it is the best of its kind, and what it links to in HTML."""

    text: str
    value: float | None = None
    best: bool = False
    href: str = ""


Row = Sequence[str | Entry]


@dataclass(frozen=True)
class Table:
    """A table. `breaks` are the rows that a rule precedes; `notes` are printed below."""

    label: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
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


def numeric(value: float | None, digits: int, *, signed: bool = False) -> Entry:
    """`number` as a cell that sorts by the unrounded value."""
    known = value is not None and not math.isnan(value)
    return Entry(number(value, digits, signed=signed), value if known else None)


def decimals(sd: float) -> int:
    """How many decimals a percentage deserves: two significant digits of its standard deviation, two decimals at most.

    One where the deviation is not known, as the paper prints its single runs.
    """
    if math.isnan(sd):
        return 1
    if sd < 0.1:  # a test set of 10,000 images has steps of 0.01
        return 2
    return max(0, 1 - math.floor(math.log10(float(f"{sd:.1e}"))))


def spread_text(spread: Spread, *, signed: bool = False) -> str:
    """Mean ± standard deviation (number of runs), rounded by `decimals`; without the deviation for one run."""
    if spread.n == 0:
        return MISSING
    digits = decimals(spread.sd)
    deviation = "" if math.isnan(spread.sd) else f" ± {number(spread.sd, digits)}"
    return f"{number(spread.mean, digits, signed=signed)}{deviation} ({spread.n})"


def as_entry(cell: str | Entry) -> Entry:
    """A cell given as plain text, or as it is."""
    return Entry(cell) if isinstance(cell, str) else cell


def mark_best(rows: Sequence[list[str | Entry]], column: int, *, highest: bool) -> None:
    """Mark the best of the values in one column of `rows`; nothing where they are all the same."""
    entries = [(row, as_entry(row[column])) for row in rows]
    values = [e.value for _, e in entries if e.value is not None]
    if len(set(values)) < 2:
        return
    best = max(values) if highest else min(values)
    for row, entry in entries:
        if entry.value == best:
            row[column] = replace(entry, best=True)


def to_markdown(table: Table) -> str:
    """The table as aligned Markdown: caption, table, notes."""
    headers = [_escape_markdown(" ".join(filter(None, (c.group, c.name)))) for c in table.columns]
    rows = [[_markdown_cell(as_entry(cell)) for cell in row] for row in table.rows]
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
        body.append(" & ".join(_latex_cell(as_entry(cell)) for cell in row) + r" \\")
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


def _latex_cell(cell: Entry) -> str:
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


def _markdown_cell(cell: Entry) -> str:
    text = _escape_markdown(cell.text)
    return f"**{text}**" if cell.best else text


def _escape_markdown(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*").replace("\n", " ")


def to_html(table: Table) -> str:
    """The table as an HTML fragment: `<table>` with caption and header groups, and its notes as `<ul class="notes">`.

    Cells carry the number they sort by in `data-value`; classes say what a cell is and no style says how it looks.
    """
    columns = table.columns
    body = []
    for i, row in enumerate(table.rows):
        cells = "".join(_html_cell(as_entry(cell), c) for cell, c in zip(row, columns, strict=True))
        rule = ' class="break"' if i and i in table.breaks else ""
        body.append(f"<tr{rule}>{cells}</tr>")
    parts = [
        f'<table class="results" data-table="{html.escape(table.label)}">',
        f"<caption>{html.escape(table.caption)}</caption>",
        f"<thead>{_html_header(columns)}</thead>",
        "<tbody>",
        *body,
        "</tbody>",
        "</table>",
    ]
    if table.notes:
        parts.append('<ul class="notes">' + "".join(f"<li>{html.escape(note)}</li>" for note in table.notes) + "</ul>")
    return "\n".join(parts) + "\n"


_KINDS = {"l": "text", "r": "number"}


def _html_cell(cell: Entry, column: Column) -> str:
    kinds = f"{_KINDS[column.align]} best" if cell.best else _KINDS[column.align]
    text = html.escape(cell.text)
    if cell.best:
        text = f"<strong>{text}</strong>"
    if cell.href:
        text = f'<a href="{html.escape(cell.href)}">{text}</a>'
    value = "" if cell.value is None else f' data-value="{cell.value:.8g}"'
    return f'<td class="{kinds}"{value}>{text}</td>'


def _html_header(columns: Sequence[Column]) -> str:
    grouped = any(c.group for c in columns)
    upper: list[str] = []
    lower: list[str] = []
    for group, found in itertools.groupby(columns, key=lambda c: c.group):
        members = list(found)
        if group:
            upper.append(f'<th scope="colgroup" colspan="{len(members)}">{html.escape(group)}</th>')
        for c in members:
            rows = ' rowspan="2"' if grouped and not group else ""
            head = f'<th scope="col" class="{_KINDS[c.align]}"{rows}>{html.escape(c.name)}</th>'
            (lower if group or not grouped else upper).append(head)
    return f"<tr>{''.join(upper)}</tr><tr>{''.join(lower)}</tr>" if grouped else f"<tr>{''.join(lower)}</tr>"
