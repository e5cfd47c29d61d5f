"""The kinds of results, by name: what `collect`, `merge`, the commands, the workflow and the page loop over."""

from __future__ import annotations

from typing import Any

from linconv.catalogue.measurements import MEASUREMENTS
from linconv.results.kinds._kind import Kind

KINDS: dict[str, Kind[Any, Any]] = {name: entry.load_kind() for name, entry in MEASUREMENTS.items()}

# The columns of every CSV file of collected results.
COLUMNS: dict[str, list[str]] = {
    **{file: columns for kind in KINDS.values() for file, columns in kind.columns.items()},
    "failures": ["dataset", "architecture", "variant", "seed", "split", "reason", "detail", "log"],
}
