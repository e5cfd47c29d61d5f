"""What weight space and feature space add to the plain network's operations, by the batch."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from linconv.report.source import Experiment
from linconv.report.table import NETWORK, VARIANT, Column, Rows, Table, numeric

_BATCH_SIZES = (1, 8, 50, 128, 512)
_CAPTION = (
    "Multiply-accumulates of a forward pass per image, relative to the plain network's, by the number of images in a "
    "batch. Weight space builds the filters once per batch and then runs the plain convolution, so it has more the "
    "smaller the batch. Feature space combines the outputs of every image; layers with groups have no such form and "
    "count in weight space there. Other methods have one form, which both halves show."
)


def overhead_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Multiply-accumulates per image relative to the plain network, in weight and feature space, by the batch.

    The frame has a row per network, variant and batch.
    """
    counted = _sums(experiment.frames["complexity_layers"])
    folded = counted[counted["variant"] == "conv"].set_index("architecture")["folded"]
    plain = counted["architecture"].map(folded)
    ratios = {
        (form, batch): (counted[form] + counted[f"{form}_per_step"] / batch) / plain
        for form, batch in itertools.product(("weight", "feature"), _BATCH_SIZES)
    }
    columns = [NETWORK, VARIANT, *(Column(f"batch {batch}", f"{form} / plain") for form, batch in ratios)]
    rows = Rows(columns, group=["network"])
    for i, (architecture, variant) in enumerate(zip(counted["architecture"], counted["variant"], strict=True)):
        rows.add(architecture, variant, *(numeric(float(ratio.iloc[i]), 2) for ratio in ratios.values()))
    frames = [
        counted[["architecture", "variant"]].assign(
            batch_size=batch, weight_ratio=ratios["weight", batch], feature_ratio=ratios["feature", batch]
        )
        for batch in _BATCH_SIZES
    ]
    table = rows.table(_CAPTION, empty="The complexity was not measured.")
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
