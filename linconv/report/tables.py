"""Tables of an experiment as Markdown, LaTeX, CSV and HTML, made of the collected data alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from linconv.config import Config
from linconv.report.cost_tables import complexity, overhead
from linconv.report.formats import Table, to_html, to_latex, to_markdown
from linconv.report.paper import paper_columns
from linconv.report.paper_tables import comparison_table, printed_table, table2
from linconv.report.ranking import ranking_latency, ranking_macs, ranking_parameters
from linconv.report.redundancy_table import filter_quality, redundancy
from linconv.report.run_tables import failures, runs
from linconv.report.source import Experiment, load_experiment
from linconv.report.speed import speed
from linconv.report.table1 import table1
from linconv.results.files import write_text

# Name of the files -> the table, and the unrounded numbers behind it as a tidy frame.
TABLES: dict[str, Callable[[Experiment], tuple[Table, pd.DataFrame]]] = {
    "table1": table1,
    "ranking_parameters": ranking_parameters,
    "ranking_macs": ranking_macs,
    "ranking_latency": ranking_latency,
    "table1_paper": printed_table,
    "table1_comparison": comparison_table,
    "table2": table2,
    "paper_columns": paper_columns,
    "complexity": complexity,
    "overhead": overhead,
    "speed": speed,
    "redundancy": redundancy,
    "filter_quality": filter_quality,
    "runs": runs,
    "failures": failures,
}
FORMATS = ("md", "tex", "csv", "html")


def planned_tables(config: Config) -> list[str]:
    """The tables of an experiment, in order: all but the rankings that it does not ask for."""
    ranked = [f"ranking_{cost}" for cost in config.rankings]
    return [name for name in TABLES if not name.startswith("ranking_") or name in ranked]


def render_tables(root: str | Path) -> list[Path]:
    """Write the tables of an experiment, in every format, to its folder tables/ and return their paths.

    They are those of `planned_tables`; what earlier calls made of others is removed.

    Args:
        root: the experiment's folder, results/<experiment>, with config.yaml and data/.

    Raises:
        ResultError: the collected data or the configuration is missing or damaged.
    """
    experiment = load_experiment(root)
    folder = experiment.root / "tables"
    paths = []
    for name in planned_tables(experiment.config):
        table, frame = TABLES[name](experiment)
        texts = (
            to_markdown(table),
            to_latex(table),
            frame.to_csv(index=False, float_format="%.8g", lineterminator="\n"),
            to_html(table),
        )
        for suffix, text in zip(FORMATS, texts, strict=True):
            paths.append(folder / f"{name}.{suffix}")
            write_text(paths[-1], text)
    for old in folder.glob("*"):
        if old not in paths and old.stem in TABLES:
            old.unlink()
    return paths
