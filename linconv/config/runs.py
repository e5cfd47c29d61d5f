"""From a configuration to the matrix of runs: what each run is, where it lives, how it is recognised."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SerializerFunctionWrapHandler, model_serializer

from linconv.config.folders import ImageFolderOptions
from linconv.config.names import Frozen
from linconv.config.recipes import Recipe
from linconv.config.schema import ComplexityOptions, Config
from linconv.config.variants import Variant


class RunKey(NamedTuple):
    """The four coordinates of a run within an experiment."""

    dataset: str
    architecture: str
    variant: str
    seed: int

    @property
    def path(self) -> Path:
        """The run's folder, relative to results/<experiment>/."""
        return Path("runs", self.dataset, self.architecture, self.variant, f"seed{self.seed}")

    @property
    def log(self) -> Path:
        """The run's log as the pipeline writes it, relative to results/<experiment>/."""
        return Path("logs", "train", self.dataset, self.architecture, self.variant, f"seed{self.seed}.log")

    def __str__(self) -> str:
        return f"{self.dataset}/{self.architecture}/{self.variant}/seed{self.seed}"


class ResolvedRun(Frozen):
    """One run with every choice made: all that determines its outcome, and nothing else.

    Paths, device and threads are absent on purpose: they belong to the provenance, not to the identity.
    """

    experiment: str
    dataset: str
    architecture: str
    variant: str
    seed: int
    definition: Variant
    recipe: Recipe
    augment: bool
    correlation_layers: tuple[int, ...]
    imagefolder: ImageFolderOptions | None = None  # what `dataset` means where it is not a built-in one

    @model_serializer(mode="wrap")
    def _only_what_applies(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A run on a built-in data set has no `imagefolder`, so its hash is as it was before there were any."""
        values: dict[str, Any] = serialize(self)
        return values if self.imagefolder else {k: v for k, v in values.items() if k != "imagefolder"}

    @property
    def key(self) -> RunKey:
        return RunKey(self.dataset, self.architecture, self.variant, self.seed)

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that change with any value above."""
        return digest(self.model_dump(mode="json"))


def digest(value: Any) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a JSON-able value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def complexity_hash(options: ComplexityOptions, variants: Mapping[str, Variant]) -> str:
    """16 hexadecimal digits that change with all that decides what complexity.json holds."""
    definitions = {name: variant.model_dump(mode="json") for name, variant in variants.items()}
    return digest({"options": options.model_dump(mode="json"), "variants": definitions})


def plan_runs(config: Config) -> list[RunKey]:
    """Every run of the grid, data set first, seed last."""
    grid = itertools.product(config.datasets, config.architectures, config.variants, config.seeds)
    return [RunKey(*point) for point in grid]


def resolve_run(config: Config, key: RunKey) -> ResolvedRun:
    """The full description of one run of the grid.

    Raises:
        ValueError: the run is not part of the configuration.
    """
    if key not in plan_runs(config):
        raise ValueError(f"{key} is not a run of experiment '{config.experiment}'")
    return ResolvedRun(
        experiment=config.experiment,
        dataset=key.dataset,
        architecture=key.architecture,
        variant=key.variant,
        seed=key.seed,
        definition=config.known_variants[key.variant],
        recipe=config.recipe.resolve(key.architecture, key.dataset),
        augment=config.augment,
        correlation_layers=config.correlation_layers,
        imagefolder=config.imagefolders.get(key.dataset),
    )
