"""Tables as fragments of HTML."""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence

from linconv.report.table import Column, Table, TableCell, as_cell


def to_html(table: Table) -> str:
    """The table as an HTML fragment: `<table>` with caption and header groups, and its notes as `<ul class="notes">`.

    Cells carry the number they sort by in `data-value`; classes say what a cell is and no style says how it looks.
    """
    columns = table.columns
    body = []
    for i, row in enumerate(table.rows):
        cells = "".join(_html_cell(as_cell(cell), c) for cell, c in zip(row, columns, strict=True))
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


def _html_cell(cell: TableCell, column: Column) -> str:
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
