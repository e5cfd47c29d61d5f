"""The count of parameters and multiply-accumulates of a grid of networks and variants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from linconv.catalogue._entry import Entry
from linconv.config import ComplexityOptions, Config, Variant
from linconv.config.parts import grid_parts
from linconv.config.runs import digest
from linconv.results.kinds._kind import Kind, Rows
from linconv.results.record import SCHEMA_VERSION, Count, Hash, Positive, Record

NAME = "complexity"  # the only key: one count holds the whole grid


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


def counted_variants(variants: Mapping[str, Variant]) -> dict[str, Variant]:
    """The variants whose complexity is counted before training: the counts of pruned ones are in their runs."""
    return {name: variant for name, variant in variants.items() if variant.pruning is None}


def complexity_hash(options: ComplexityOptions, variants: Mapping[str, Variant]) -> str:
    """16 hexadecimal digits that change with all that decides what complexity.json holds."""
    definitions = {name: variant.identity() for name, variant in counted_variants(variants).items()}
    return digest({"options": options.identity(), "variants": definitions})


_SIZES = ["input_shape", "classes", "batch_size"]


class Counts(Kind[str, ComplexityResult]):
    """complexity.json, with the counts of every network and variant."""

    name = NAME
    columns: ClassVar = {
        "complexity": [*(name for name in Complexity.model_fields if name != "layers"), *_SIZES],
        "complexity_layers": ["architecture", "variant", *LayerComplexity.model_fields],
    }
    missing = "the complexity was not measured"

    def __init__(self) -> None:
        super().__init__(ComplexityResult)

    def plan(self, config: Config) -> list[str]:
        return [NAME]

    def hash(self, config: Config, key: str) -> str:
        return complexity_hash(config.complexity, config.planned_variants)

    def parts(self, config: Config, key: str) -> frozenset[Entry]:
        return grid_parts(config.complexity.architectures, counted_variants(config.planned_variants).values())

    def key_of(self, result: ComplexityResult) -> str:
        return NAME

    def path(self, key: str) -> Path:
        return Path(f"{key}.json")

    def rows(self, results: Mapping[str, ComplexityResult]) -> Rows:
        rows: Rows = {"complexity": [], "complexity_layers": []}
        for result in results.values():
            sizes = {name: getattr(result, name) for name in _SIZES}
            for model in result.models:
                rows["complexity"].append({**model.model_dump(exclude={"layers"}), **sizes})
                at = {"architecture": model.architecture, "variant": model.variant}
                rows["complexity_layers"] += [{**at, **layer.model_dump()} for layer in model.layers]
        return rows
