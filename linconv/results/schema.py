"""The schema of result files: what one run, or one count of complexity, leaves behind.

Every file carries its kind and version, everything needed to judge it (the resolved configuration and its hash,
versions, hardware, precision flags, commit) and no host name, user or absolute path.
"""

from __future__ import annotations

from typing import Literal

from linconv.results.reading import read_result
from linconv.results.record import SCHEMA_VERSION, Count, Hash, Positive, Record, ResultError
from linconv.results.run import (
    EarlierProcess,
    Epoch,
    LayerRedundancy,
    Provenance,
    RunMetrics,
    RunOutcomes,
    RunResult,
    RunWarning,
)

__all__ = [
    "SCHEMA_VERSION",
    "Complexity",
    "ComplexityResult",
    "EarlierProcess",
    "Epoch",
    "LayerComplexity",
    "LayerRedundancy",
    "Provenance",
    "Record",
    "ResultError",
    "RunMetrics",
    "RunOutcomes",
    "RunResult",
    "RunWarning",
    "read_result",
]


class LayerComplexity(Record):
    """One layer: MACs per image; `macs_per_step` are spent once per forward pass, whatever the batch."""

    layer: str
    kind: str
    output_shape: list[Positive]
    params: Count
    macs_folded: Count
    macs_feature: Count | None
    macs_weight_per_image: Count
    macs_weight_per_step: Count


class Complexity(Record):
    """Parameters and multiply-accumulates of one network with one variant. MACs are per image.

    `macs_feature` runs every layer in feature space that allows it (groups = 1), the rest in weight space;
    `macs_weight` includes the coefficient product, spread over `batch_size` images. `macs_train_*` are those of
    a training step (forward and backward) divided by the batch. `flops_paper` follows the paper's own rule and is
    no cost model; `flops_paper_quirk` names the quirk of the released code that the paper's cell needs.
    """

    architecture: str
    variant: str
    params: Count
    params_trainable: Count
    params_folded: Count
    macs_folded: Count
    macs_feature: Count
    macs_weight: Count
    macs_auto: Count
    macs_train_folded: Count
    macs_train_feature: Count
    macs_train_weight: Count
    macs_train_auto: Count | None = None  # files of earlier versions lack it
    flops_paper: Count | None
    flops_paper_as_released: Count | None = None
    flops_paper_quirk: str | None = None
    layers: list[LayerComplexity]


class ComplexityResult(Record):
    """The complexity of a grid of networks and variants; `grid_hash` is that of the configuration's part it answers."""

    kind: Literal["complexity"] = "complexity"
    schema_version: Literal[2] = SCHEMA_VERSION
    input_shape: tuple[Positive, Positive, Positive]
    classes: Positive
    batch_size: Positive
    grid_hash: Hash
    code_hash: Hash
    models: list[Complexity]
