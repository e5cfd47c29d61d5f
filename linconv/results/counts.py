"""The counts of one network, as its callers get them and as a result file holds them. Needs no other package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from linconv.config.rules import Count as Positive
from linconv.config.rules import at_least

Count = Annotated[int, at_least(0)]

HEADER = ("layer", "kind", "output", "parameters", "MACs folded", "MACs in feature space")
NO_FORM = "n/a"


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
    no cost model; `flops_paper_quirk` names the quirk of the released code that the paper's cell needs. As text it is
    a table with a line for each call of a layer, and the totals.
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
    macs_train_auto: Count
    flops_paper: Count | None
    flops_paper_as_released: Count | None = None
    flops_paper_quirk: str | None = None
    layers: list[LayerComplexity]

    def __str__(self) -> str:
        rows = [HEADER] + [
            (
                layer.layer or "(the model)",
                layer.kind,
                "x".join(map(str, layer.output_shape)),
                f"{layer.params:,}",
                f"{layer.macs_folded:,}",
                NO_FORM if layer.macs_feature is None else f"{layer.macs_feature:,}",
            )
            for layer in self.layers
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(_aligned, row, widths, range(len(row)))) for row in rows]
        lines.insert(1, "-" * len(lines[0]))
        if any(layer.macs_feature is None for layer in self.layers):
            lines.append(f"{NO_FORM}: the layer has no form in feature space and counts as it runs")
        totals = {
            "parameters": f"{self.params:,} ({self.params_folded:,} folded)",
            "MACs per image": f"{self.macs_auto:,} as it runs ({self.macs_folded:,} folded, "
            f"{self.macs_feature:,} in feature space, {self.macs_weight:,} in weight space)",
        }
        return "\n".join(
            line.rstrip() for line in (*lines, "", *(f"{what}: {value}" for what, value in totals.items()))
        )


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < 3 else cell.rjust(width)
