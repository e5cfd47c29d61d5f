"""What networks cost: parameters and multiply-accumulates."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from linconv.report.formats import Column, Entry, Table, mark_best, numeric
from linconv.report.labels import architecture_label, variant_label
from linconv.report.source import Experiment

BATCHES = (1, 8, 50, 128, 512)


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


def overhead(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Multiply-accumulates per image relative to the plain network, in weight and feature space, by the batch.

    The frame has a row per network, variant and batch.
    """
    counted = _sums(experiment.complexity_layers)
    folded = counted[counted["variant"] == "conv"].set_index("architecture")["folded"]
    plain = counted["architecture"].map(folded)
    ratios = {
        (form, batch): (counted[form] + counted[f"{form}_per_step"] / batch) / plain
        for form in ("weight", "feature")
        for batch in BATCHES
    }
    rows: list[list[str | Entry]] = []
    breaks = set()
    for i, (architecture, variant) in enumerate(zip(counted["architecture"], counted["variant"], strict=True)):
        if i and architecture != counted["architecture"].iloc[i - 1]:
            breaks.add(i)
        cells = (numeric(float(ratio.iloc[i]), 2) for ratio in ratios.values())
        rows.append([architecture_label(architecture), variant_label(variant), *cells])
    table = Table(
        label="overhead",
        caption="Multiply-accumulates of a forward pass per image, relative to the plain network's, by the number of "
        "images in a batch. Weight space builds the filters once per batch and then runs the plain convolution, so "
        "it has more the smaller the batch. Feature space combines the outputs of every image; layers with groups "
        "have no such form and count in weight space there. Other methods have one form, which both halves show.",
        columns=[
            *(Column("network", align="l"), Column("variant", align="l")),
            *(Column(f"batch {batch}", f"{form} / plain") for form, batch in ratios),
        ],
        rows=rows,
        notes=[] if rows else ["The complexity was not measured."],
        breaks=frozenset(breaks),
    )
    frames = [
        counted[["architecture", "variant"]].assign(
            batch_size=batch, weight_ratio=ratios["weight", batch], feature_ratio=ratios["feature", batch]
        )
        for batch in BATCHES
    ]
    return table, pd.concat(frames).sort_index(kind="stable")


def _sums(layers: pd.DataFrame) -> pd.DataFrame:
    """Multiply-accumulates of whole networks: per image and, spent whatever the batch, per step, by form."""
    grouped = layers["macs_feature"].isna()  # no feature space: weight space instead
    spares = ~grouped & (layers["kind"] == "LinearConv2d")  # other methods have one form, whatever it is called
    own = {
        "folded": layers["macs_folded"],
        "weight": layers["macs_weight_per_image"],
        "weight_per_step": layers["macs_weight_per_step"],
        "feature": layers["macs_feature"].where(~grouped, layers["macs_weight_per_image"]),
        "feature_per_step": layers["macs_weight_per_step"].where(~spares, 0),
    }
    frame = layers[["architecture", "variant"]].assign(**{name: n.astype(np.float64) for name, n in own.items()})
    return frame.groupby(["architecture", "variant"], sort=False, as_index=False).sum()
