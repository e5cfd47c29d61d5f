"""Tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from linconv.report.table import Table, TableCell, as_cell

# what begins markup: a column, emphasis, a tag or an address in brackets, an image, the address of a link
_MARKUP = re.compile(r"[|*]|<(?=[A-Za-z/!?])|!(?=\[)|(?<=\])\(")


def to_markdown(table: Table) -> str:
    """The table as aligned Markdown: caption, table, notes."""
    headers = [_escape_markdown(" ".join(filter(None, (c.group, c.name)))) for c in table.columns]
    rows = [[_markdown_cell(as_cell(cell)) for cell in row] for row in table.rows]
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


def _markdown_cell(cell: TableCell) -> str:
    text = _escape_markdown(cell.text)
    return f"**{text}**" if cell.best else text


def _escape_markdown(text: str) -> str:
    """The text as a reader sees it: no markup of its own, such as a tag, a link or a second column."""
    escaped = _MARKUP.sub(lambda found: "\\" + found[0], text)
    return escaped.replace("\n", " ")
