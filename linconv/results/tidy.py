"""Tidy rows as CSV files: same rows, same bytes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from linconv.results.files import write_text

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[-+]?[\d.]")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as CSV, header first, in the order given; a key that a row lacks is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    write_text(path, text.getvalue())
    return path


def _cell(value: Any) -> str:
    """One value as text, the same on every machine: eight significant digits, lists joined by x."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.8g}"
        case list() | tuple():
            return "x".join(map(str, value))
    return safe_cell(str(value))


def safe_cell(text: str) -> str:
    """A text that no spreadsheet runs as a formula: one that begins like a formula, and is no number, gets a quote."""
    is_formula = text[:1] in _FORMULA and not _NUMBER.match(text)
    return f"'{text}" if is_formula else text
