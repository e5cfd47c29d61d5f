"""What networks cost: parameters and multiply-accumulates."""

from __future__ import annotations

import itertools

import pandas as pd

from linconv.report.source import Experiment
from linconv.report.table import NETWORK, VARIANT, Column, Rows, Table, numeric

_CAPTION = (
    "Parameters, share of the plain network's parameters (%), and multiply-accumulates per image in millions (M), for "
    "{counted}. Inference: one forward pass; training: forward and backward of a step, divided by the batch. Folded is "
    "a plain convolution; feature combines primary outputs; weight@n builds the filters once per batch of n. FLOPs "
    "follow the paper's rule and are no cost model. Bold: the lowest of a network."
)
_FORMS = ("folded", "feature", "weight")
_MACS = [f"macs_{part}{form}" for part, form in itertools.product(("", "train_"), _FORMS)]


def complexity_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Parameters and multiply-accumulates of every network and variant, as a table and as a frame."""
    frame = experiment.complexity
    plain = frame[frame["variant"] == "conv"].set_index("architecture")["params"]
    frame = frame.assign(params_share=frame["params"] / frame["architecture"].map(plain))
    rows = Rows(_columns(frame), group=["network"])
    for _, model in frame.iterrows():
        rows.add(
            model["architecture"],
            model["variant"],
            numeric(model["params"] / 1e6, 3),
            numeric(100 * model["params_share"], 1),
            *(numeric(model[name] / 1e6, 1) for name in _MACS),
            numeric(model["flops_paper"] / 1e9, 3),
        )
    counted = " and ".join(f"{shape} and {classes} classes" for shape, classes in experiment.counted_sizes)
    caption = _CAPTION.format(counted=counted or "no network")
    return rows.table(caption, empty="The complexity was not measured."), frame


def _columns(frame: pd.DataFrame) -> list[Column]:
    batches = frame["batch_size"].unique()
    headers = ("folded", "feature", f"weight@{batches[0] if len(batches) == 1 else 'batch'}")
    inference, training = (
        [Column(header, f"{activity} (M)", best="lowest") for header in headers]
        for activity in ("inference", "training")
    )
    params = Column("params (M)", best="lowest")
    return [NETWORK, VARIANT, params, Column("share (%)"), *inference, *training, Column("FLOPs, paper (B)")]
