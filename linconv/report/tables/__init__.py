"""Tables of an experiment as Markdown, LaTeX, CSV and HTML, made of the collected data alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from linconv.catalogue.tables import TABLES
from linconv.report.formats import WRITERS
from linconv.report.plan import plan_outputs, write_index
from linconv.report.source import Experiment, load_experiment, once
from linconv.report.table import Table
from linconv.report.wording import mixture_notes
from linconv.results.files import write_text
from linconv.results.tidy import safe_cell

FORMATS = ("md", "tex", "csv", "html")


@once
def make_table(experiment: Experiment, name: str) -> tuple[Table, pd.DataFrame]:
    """A table of the catalogue, and the unrounded numbers behind it as a tidy frame."""
    table, frame = TABLES[name].load()(experiment)
    notes = [*table.notes, *(mixture_notes(experiment.mixtures) if TABLES[name].of_runs else ())]
    return replace(table, label=name.replace("_", "-"), notes=notes), frame


def render_tables(root: str | Path) -> list[Path]:
    """Write the tables of an experiment, in every format, to its folder tables/ and return their paths.

    index.json beside them lists what was made and why the rest was not; what earlier calls made of the rest is removed.

    Args:
        root: the experiment's folder, results/<experiment>, with config.yaml and data/.

    Raises:
        ResultError: the collected data or the configuration is missing or damaged.
    """
    return write_tables(load_experiment(root))


def write_tables(experiment: Experiment) -> list[Path]:
    """What `render_tables` writes of an experiment that is loaded."""
    folder = experiment.root / "tables"
    planned = plan_outputs(experiment, TABLES)
    files = {table.stem: _write(experiment, table.stem, folder) for table in planned.made}
    index = write_index(folder, planned, TABLES, files)
    return [*(path for paths in files.values() for path in paths), index]


def _safe(value: object) -> object:
    return safe_cell(value) if isinstance(value, str) else value


def _write(experiment: Experiment, name: str, folder: Path) -> list[Path]:
    table, frame = make_table(experiment, name)
    texts = {suffix: write(table) for suffix, write in WRITERS.items()}
    texts["csv"] = frame.map(_safe).to_csv(index=False, float_format="%.8g", lineterminator="\n")
    paths = [folder / f"{name}.{suffix}" for suffix in FORMATS]
    for path in paths:
        write_text(path, texts[path.suffix[1:]])
    return paths
