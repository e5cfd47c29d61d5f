"""Measurements as plain text: the rows of their CSV files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

# What the text leaves out: where the numbers come from is in the result file.
_ORIGIN = ("git_commit", "command", "torch", "threads")


def rows_text(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """What all rows share as one line, then a line per row; empty columns are left out."""
    if not rows:
        return "nothing was measured\n"
    shown = [name for name in columns if name not in _ORIGIN and any(row.get(name) not in (None, "") for row in rows)]
    if len(rows) == 1:
        width = max(map(len, shown))
        return "".join(f"{name:<{width}}  {_text(rows[0].get(name))}\n" for name in shown)
    shared = [name for name in shown if len({str(row.get(name)) for row in rows}) == 1]
    head = ", ".join(f"{name} {_text(rows[0].get(name))}" for name in shared)
    frame = pd.DataFrame([{n: _text(row.get(n)) for n in shown if n not in shared} for row in rows])
    return f"{head}\n{frame.to_string(index=False)}\n"


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case int():
            return f"{value:,}"
        case list() | tuple():
            return "x".join(map(str, value))
    return str(value)
