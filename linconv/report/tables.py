"""Tables of an experiment as Markdown, LaTeX and CSV, made of the collected data alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from linconv.report.formats import MISSING, Column, Table, number, to_latex, to_markdown
from linconv.report.labels import architecture_label, dataset_label, variant_label
from linconv.report.paper import paper_columns
from linconv.report.source import Experiment, load_experiment
from linconv.report.table1 import table1
from linconv.results.files import write_text


def render_tables(root: str | Path) -> list[Path]:
    """Write the tables of an experiment to its folder tables/ and return their paths.

    Args:
        root: the experiment's folder, results/<experiment>, with config.yaml and data/.

    Raises:
        ResultError: the collected data or the configuration is missing or damaged.
    """
    experiment = load_experiment(root)
    folder = experiment.root / "tables"
    paths = []
    for name, make in {"table1": table1, "paper_columns": paper_columns, "complexity": complexity}.items():
        table, frame = make(experiment)
        texts = {
            "md": to_markdown(table),
            "tex": to_latex(table),
            "csv": frame.to_csv(index=False, float_format="%.8g", lineterminator="\n"),
        }
        for suffix, text in texts.items():
            paths.append(folder / f"{name}.{suffix}")
            write_text(paths[-1], text)
    paths.append(folder / "runs.md")
    write_text(paths[-1], "\n".join(map(to_markdown, runs(experiment))))
    return paths


def complexity(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Parameters and multiply-accumulates of every network and variant, as a table and as a frame."""
    frame = experiment.complexity
    plain = frame[frame["variant"] == "conv"].set_index("architecture")["params"]
    frame = frame.assign(params_share=frame["params"] / frame["architecture"].map(plain))
    batches = frame["batch_size"].unique()
    batch = batches[0] if len(batches) == 1 else "batch"
    forms = ("folded", "feature", f"weight@{batch}")
    rows, breaks = [], set()
    for i, (_, model) in enumerate(frame.iterrows()):
        if i and model["architecture"] != frame["architecture"].iloc[i - 1]:
            breaks.add(i)
        macs = (model[f"macs_{part}{form}"] for part in ("", "train_") for form in ("folded", "feature", "weight"))
        rows.append(
            [
                *(architecture_label(model["architecture"]), variant_label(model["variant"])),
                number(model["params"] / 1e6, 3),
                number(100 * model["params_share"], 1),
                *(number(value / 1e6, 1) for value in macs),
                number(model["flops_paper"] / 1e9, 3),
            ]
        )
    sizes = frame[["input_shape", "classes"]].drop_duplicates().itertuples(index=False)
    counted = " and ".join(f"{shape} and {classes} classes" for shape, classes in sizes)
    table = Table(
        label="complexity",
        caption="Parameters, share of the plain network's parameters (%), and multiply-accumulates per image in "
        f"millions (M), for {counted or 'no network'}. Inference: one forward pass; training: forward and backward "
        "of a step, divided by the batch. Folded is a plain convolution; feature combines primary outputs; weight@n "
        "builds the filters once per batch of n. FLOPs follow the paper's rule and are no cost model.",
        columns=[
            *(Column("network", align="l"), Column("variant", align="l")),
            *(Column("params (M)"), Column("share (%)")),
            *(Column(form, "inference (M)") for form in forms),
            *(Column(form, "training (M)") for form in forms),
            Column("FLOPs, paper (B)"),
        ],
        rows=rows,
        notes=[] if rows else ["The complexity was not measured."],
        breaks=frozenset(breaks),
    )
    return table, frame


def runs(experiment: Experiment) -> list[Table]:
    """Every run with its outcome and origin, and the runs that failed where there are any."""
    frame = experiment.runs
    rows = []
    for _, run in frame.iterrows():
        commit = MISSING if pd.isna(run["git_commit"]) else run["git_commit"][:8]
        rows.append(
            [
                *(dataset_label(run["dataset"]), architecture_label(run["architecture"])),
                *(variant_label(run["variant"]), str(run["seed"]), run["status"]),
                *(number(run["top1"], 2), number(run["test_loss"], 4)),
                *(str(run["epoch"]), f"{run['params']:,}", number(run["seconds"], 1)),
                *(MISSING if pd.isna(run["hardware"]) else run["hardware"], run["torch"]),
                commit + (" (dirty)" if run["git_dirty"] == "true" else ""),
                run["config_hash"],
            ]
        )
    notes = []
    if (versions := frame["code_hash"].nunique()) > 1:
        notes.append(f"The runs were made by {versions} versions of the training code (code_hash in runs.csv).")
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
    return [done, *failed(experiment)]


def failed(experiment: Experiment) -> list[Table]:
    """The runs that are missing, damaged, stale or diverged, and why; nothing where all went well."""
    frame = experiment.failures
    if frame.empty:
        return []
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
    return [Table(label="failures", caption="Runs that failed, and why.", columns=columns, rows=rows)]
