"""The configurations, code, versions and hardware behind two result folders side by side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from linconv.config import RunKey, resolve_run
from linconv.report.table import Column, Rows, Table
from linconv.report.text import MISSING
from linconv.results import RunResult
from linconv.results.folders import Results
from linconv.results.merge import differences


def configurations_compared(a: Results, b: Results, common: Sequence[RunKey]) -> Table:
    """The fields in which runs of one name differ, the experiment's name left out."""
    found: Counter[tuple[str, str, str]] = Counter()
    for key in common:
        ours, theirs = (resolve_run(results.config, key).identity() for results in (a, b))
        changed = differences(ours, theirs)
        found.update((name, json.dumps(x), json.dumps(y)) for name, x, y in changed if name != "experiment")
    rows = Rows([*(Column(name, align="l") for name in ("field", "A", "B")), Column("runs")])
    for (name, x, y), n in found.items():
        rows.add(name, x, y, f"{n} of {len(common)}")
    return rows.table("Configuration of the runs in both folders, where it differs.")


def origins_compared(a: Results, b: Results) -> Table:
    """Code, versions, hardware and numerics: one row per field, those that differ first."""
    ours, theirs = origin_values(a.runs.values()), origin_values(b.runs.values())
    found: list[tuple[str, str, str, str]] = []
    for name in dict.fromkeys((*ours, *theirs)) if ours and theirs else ():
        left, right = (", ".join(side.get(name, {})) or MISSING for side in (ours, theirs))
        found.append((name, left, right, "no" if left != right else "yes"))
    rows = Rows([Column(name, align="l") for name in ("field", "A", "B", "equal")])
    for row in sorted(found, key=itemgetter(3)):
        rows.add(*row)
    return rows.table("Where the results come from: the values found in the runs of each folder.")


def origin_values(runs: Iterable[RunResult]) -> dict[str, dict[str, None]]:
    """The values that some runs have in each field of their provenance, each value once, in the order met."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        origin = run.provenance
        commit = origin.git_commit and origin.git_commit[:12] + (" (dirty)" if origin.git_dirty else "")
        fields: dict[str, Any] = {"code_hash": run.code_hash, "git_commit": commit}
        for group in ("versions", "hardware", "numerics"):
            fields |= {f"{group}.{name}": value for name, value in getattr(origin, group).items()}
        if run.data is not None:
            parts = {"train": run.data.train, "test": run.data.test}
            fields |= {f"data.{run.dataset}.{p}": c.digest and c.digest[:16] for p, c in parts.items()}
        for name, value in fields.items():
            if value is not None:
                found.setdefault(name, {})[str(value).lower() if isinstance(value, bool) else str(value)] = None
    return found
