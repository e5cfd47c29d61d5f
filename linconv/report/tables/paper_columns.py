"""The paper's columns of parameters and FLOPs beside ours (WACV 2021, table 1)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from linconv.report.published import PrintedCount, printed_counts, size_warning
from linconv.report.source import Experiment
from linconv.report.table import NETWORK, VARIANT, Column, Rows, Table

_CAPTION = (
    "Parameters and FLOPs of the paper's Table 1 beside ours, to the printed digits. FLOPs follow the paper's rule for "
    "one image and are no cost model."
)
_COLUMNS = (
    NETWORK,
    VARIANT,
    Column("paper", "params (M)"),
    Column("ours", "params (M)"),
    Column("equal", "params (M)", "l"),
    Column("paper", "FLOPs (B)"),
    Column("ours", "FLOPs (B)"),
    Column("as released", "FLOPs (B)"),
    Column("equal", "FLOPs (B)", "l"),
)
_EXPLAINED = {
    "as released": "more with a quirk of the released code",
    "truncated": "more where the paper cut the digits instead of rounding",
    "no": "different",
    "missing": "not counted in this experiment",
}


def paper_columns_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The published parameter and FLOP columns beside ours, as a table and as a frame of one row per cell."""
    cells = printed_counts(experiment)
    half = len(cells) // 2
    quirks = list(dict.fromkeys(cell.quirk for cell in cells if cell.quirk))
    rows = Rows(_COLUMNS, group=["network"])
    for params, flops in zip(cells[:half], cells[half:], strict=True):
        mark = f" [{quirks.index(flops.quirk) + 1}]" if flops.quirk else ""
        rows.add(
            params.architecture,
            params.variant,
            params.paper,
            params.ours,
            params.equal,
            flops.paper,
            flops.ours,
            flops.as_released,
            flops.equal + mark,
        )
    notes = [_summary(cells[:half], "parameter"), _summary(cells[half:], "FLOP")]
    notes += [f"[{i}] {quirk}" for i, quirk in enumerate(quirks, 1)]
    return rows.table(_CAPTION, notes + size_warning(experiment)), pd.DataFrame(cells)


def _summary(cells: Sequence[PrintedCount], kind: str) -> str:
    verdicts = [cell.equal for cell in cells]
    parts = [f"{verdicts.count('yes')} of {len(cells)} {kind} cells are equal"]
    parts += [f"{verdicts.count(word)} {text}" for word, text in _EXPLAINED.items() if word in verdicts]
    return ", ".join(parts) + "."
