"""The counts of one network, as its callers get them and as a result file holds them. Needs no other package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from linconv.config.rules import Count as Positive
from linconv.config.rules import at_least

Count = Annotated[int, at_least(0)]


@dataclass(frozen=True, kw_only=True)
class LayerComplexity:
    """One layer: MACs per image; `macs_per_step` are spent once per forward pass, whatever the batch."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # where it is read from a file

    layer: str
    kind: str
    output_shape: list[Positive]
    params: Count
    macs_folded: Count
    macs_feature: Count | None
    macs_weight_per_image: Count
    macs_weight_per_step: Count


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """Parameters and multiply-accumulates of one network with one variant. MACs are per image.

    `macs_feature` runs every layer in feature space that allows it (groups = 1), the rest in weight space;
    `macs_weight` includes the coefficient product, spread over `batch_size` images. `macs_train_*` are those of
    a training step (forward and backward) divided by the batch. `flops_paper` follows the paper's own rule and is
    no cost model; `flops_paper_quirk` names the quirk of the released code that the paper's cell needs.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

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
