"""What networks cost: parameters and multiply-accumulates."""

from __future__ import annotations

import itertools

import pandas as pd

from linconv.report.formats import Column, Entry, Table, mark_best, numeric
from linconv.report.labels import architecture_label, variant_label
from linconv.report.source import Experiment


def complexity(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Parameters and multiply-accumulates of every network and variant, as a table and as a frame."""
    frame = experiment.complexity
    plain = frame[frame["variant"] == "conv"].set_index("architecture")["params"]
    frame = frame.assign(params_share=frame["params"] / frame["architecture"].map(plain))
    batches = frame["batch_size"].unique()
    batch = batches[0] if len(batches) == 1 else "batch"
    forms = ("folded", "feature", f"weight@{batch}")
    rows: list[list[str | Entry]] = []
    breaks = set()
    for i, (_, model) in enumerate(frame.iterrows()):
        if i and model["architecture"] != frame["architecture"].iloc[i - 1]:
            breaks.add(i)
        macs = (model[f"macs_{part}{form}"] for part in ("", "train_") for form in ("folded", "feature", "weight"))
        rows.append(
            [
                *(architecture_label(model["architecture"]), variant_label(model["variant"])),
                numeric(model["params"] / 1e6, 3),
                numeric(100 * model["params_share"], 1),
                *(numeric(value / 1e6, 1) for value in macs),
                numeric(model["flops_paper"] / 1e9, 3),
            ]
        )
    for start, end in itertools.pairwise([0, *sorted(breaks), len(rows)]):
        for column in (2, 4, 5, 6, 7, 8, 9):
            mark_best(rows[start:end], column, highest=False)
    sizes = frame[["input_shape", "classes"]].drop_duplicates().itertuples(index=False)
    counted = " and ".join(f"{shape} and {classes} classes" for shape, classes in sizes)
    table = Table(
        label="complexity",
        caption="Parameters, share of the plain network's parameters (%), and multiply-accumulates per image in "
        f"millions (M), for {counted or 'no network'}. Inference: one forward pass; training: forward and backward "
        "of a step, divided by the batch. Folded is a plain convolution; feature combines primary outputs; weight@n "
        "builds the filters once per batch of n. FLOPs follow the paper's rule and are no cost model. "
        "Bold: the lowest of a network.",
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
