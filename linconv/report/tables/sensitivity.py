"""What each layer's replacement costs in loss, per parameter saved."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from linconv.report.labels import place_label, variant_label
from linconv.report.source import CELL, Experiment
from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, Table, TableCell
from linconv.report.text import number

_CAPTION = (
    "One convolution replaced at a time, all others plain, after a short training of the plain network: "
    "cross-entropy on the validation part with the replacement and with the plain convolution trained alone for as "
    "many steps. Layers are ordered by the increase per parameter saved, the least first."
)
_COLUMNS = (
    DATASET,
    NETWORK,
    VARIANT,
    Column("layer", align="l"),
    Column("params"),
    Column("saved"),
    Column("loss", "validation"),
    Column("plain", "validation"),
    Column("increase", "validation"),
    Column("per 1000 saved", "validation"),
)


def sensitivity_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """The sensitivities of an experiment, as a table and as the rows of sensitivity.csv."""
    frame = experiment.frames["sensitivity"]
    return sensitivities(frame), frame


def sensitivities(frame: pd.DataFrame) -> Table:
    """A row per layer; `frame` has the columns of sensitivity.csv."""
    rows = Rows(_COLUMNS, group=["data set", "network", "variant"])
    for _, layer in frame.iterrows():
        rows.add(
            *layer[CELL],
            layer["layer"],
            TableCell(f"{layer['params']:,}", layer["params"]),
            TableCell(f"{layer['params_saved']:,}", layer["params_saved"]),
            _loss(layer["val_loss"]),
            _loss(layer["val_loss_plain"]),
            _loss(layer["increase"], signed=True),
            _per_thousand(layer),
        )
    return rows.table(_CAPTION, _notes(frame))


def _loss(value: float, *, signed: bool = False) -> TableCell:
    known = not pd.isna(value)
    return TableCell(number(value, 4, signed=signed) if known else "not finite", value if known else math.inf)


def _per_thousand(layer: pd.Series) -> TableCell:
    if layer["params_saved"] <= 0:
        return TableCell("saves nothing", math.inf)
    value = layer["increase_per_1000_saved"]
    return TableCell("not finite", math.inf) if pd.isna(value) else TableCell(f"{value:+.3g}", value)


def _notes(frame: pd.DataFrame) -> list[str]:
    """One note per network: the training before, and what the layers start from."""
    notes = []
    at: Any
    for at, layers in frame.groupby(CELL, sort=False):
        dataset, architecture, variant = at
        first = layers.iloc[0]
        start = "new filters" if pd.isna(first["start"]) else first["start"]
        notes.append(
            f"{place_label(architecture, dataset)}, {variant_label(variant)}: the plain network after "
            f"{first['epochs']} epoch(s) has a validation loss of {first['probe_val_loss']:.4f} and a top-1 of "
            f"{first['probe_val_top1']:.2f} %; then {first['steps']} steps of the layer alone, from {start}."
        )
    return notes
