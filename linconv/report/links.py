"""Where the HTML report shows the runs of a cell: the targets that cells of tables link to."""

from __future__ import annotations

from linconv.report.inference import Cell


def run_anchor(dataset: str, architecture: str, variant: str) -> str:
    """The link to the runs of a data set, network and variant."""
    return f"#run-{dataset}-{architecture}-{variant}"


def runs_link(cell: Cell) -> str:
    """The link to the runs of a cell, "" where there is none."""
    return run_anchor(*cell[:3]) if cell.planned > cell.missing else ""
