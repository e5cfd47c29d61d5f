"""Every run on its own: what it gave, where it comes from, and which runs failed."""

from __future__ import annotations

import pandas as pd

from linconv.report.formats import MISSING, Column, Entry, Table, numeric
from linconv.report.labels import architecture_label, dataset_label, variant_label
from linconv.report.source import Experiment
from linconv.report.wording import orthogonality_notes


def run_anchor(dataset: str, architecture: str, variant: str) -> str:
    """Where the HTML report shows the runs of a cell: the target that cells of tables link to."""
    return f"#run-{dataset}-{architecture}-{variant}"


def runs(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Every run with its outcome and origin, as a table and as the frame of all that was collected of runs."""
    frame = experiment.runs
    rows: list[list[str | Entry]] = []
    for _, run in frame.iterrows():
        commit = MISSING if pd.isna(run["git_commit"]) else run["git_commit"][:8]
        rows.append(
            [
                *(dataset_label(run["dataset"]), architecture_label(run["architecture"])),
                variant_label(run["variant"]),
                Entry(str(run["seed"]), run["seed"], href=run_anchor(*run[["dataset", "architecture", "variant"]])),
                *(run["status"], numeric(run["top1"], 2), numeric(run["test_loss"], 4)),
                Entry(str(run["epoch"]), run["epoch"]),
                *(Entry(f"{run['params']:,}", run["params"]), numeric(run["seconds"], 1)),
                *(MISSING if pd.isna(run["hardware"]) else run["hardware"], run["torch"]),
                commit + (" (dirty)" if run["git_dirty"] == "true" else ""),
                run["config_hash"],
            ]
        )
    notes = []
    if (versions := frame["code_hash"].nunique()) > 1:
        notes.append(f"The runs were made by {versions} versions of the training code (code_hash in runs.csv).")
    notes += orthogonality_notes(experiment)
    left = ("data set", "network", "variant")
    done = Table(
        label="runs",
        caption=f"Runs of experiment {experiment.config.experiment}: accuracy (%) and loss on the test set "
        f"{experiment.reported_epoch}, seconds of wall time.",
        columns=[
            *(Column(name, align="l") for name in left),
            *(Column("seed"), Column("status", align="l"), Column("top-1 (%)"), Column("test loss")),
            *(Column("epochs"), Column("params"), Column("seconds")),
            *(Column(name, align="l") for name in ("hardware", "torch", "commit", "configuration")),
        ],
        rows=rows,
        notes=notes or ([] if rows else ["No run was collected."]),
    )
    return done, frame


def failures(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The runs that are missing, damaged, stale or diverged, and why, as a table and as a frame."""
    frame = experiment.failures
    rows = []
    for _, failure in frame.astype(object).where(frame.notna(), "").iterrows():
        seed = str(int(failure["seed"])) if failure["seed"] != "" else ""
        names = (
            dataset_label(failure["dataset"]),
            architecture_label(failure["architecture"]),
            variant_label(failure["variant"]) if failure["variant"] else "",
        )
        rows.append([*names, seed, failure["reason"], failure["detail"], failure["log"]])
    columns = [
        *(Column(name, align="l") for name in ("data set", "network", "variant")),
        Column("seed"),
        *(Column(name, align="l") for name in ("reason", "detail", "log")),
    ]
    notes = [] if rows else ["Every planned run finished."]
    return Table("failures", "Runs that failed, and why.", columns, rows, notes), frame
