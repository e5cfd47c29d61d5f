"""The count of parameters and multiply-accumulates of a grid of networks and variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import ClassVar, Literal

from linconv.catalogue._entry import Entry
from linconv.config import ComplexityOptions, Config, Variant
from linconv.config.parts import grid_parts
from linconv.config.runs import digest
from linconv.results.counts import Complexity, LayerComplexity
from linconv.results.kinds._kind import Kind, TidyRows
from linconv.results.record import SCHEMA_VERSION, Hash, PositiveInt, Record

NAME = "complexity"  # the only key: one count holds the whole grid


class ComplexityResult(Record):
    """The complexity of a grid of networks and variants; `grid_hash` is that of the configuration's part it answers."""

    kind: Literal["complexity"] = "complexity"
    schema_version: Literal[2] = SCHEMA_VERSION
    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    classes: PositiveInt
    batch_size: PositiveInt
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
        "complexity": [*(field.name for field in fields(Complexity) if field.name != "layers"), *_SIZES],
        "complexity_layers": ["architecture", "variant", *(field.name for field in fields(LayerComplexity))],
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

    def rows(self, results: Mapping[str, ComplexityResult]) -> TidyRows:
        rows: TidyRows = {"complexity": [], "complexity_layers": []}
        for result in results.values():
            sizes = {name: getattr(result, name) for name in _SIZES}
            for model in result.models:
                counts = asdict(model)
                layers = counts.pop("layers")
                rows["complexity"].append({**counts, **sizes})
                at = {"architecture": model.architecture, "variant": model.variant}
                rows["complexity_layers"] += [{**at, **layer} for layer in layers]
        return rows
