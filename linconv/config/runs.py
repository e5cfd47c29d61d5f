"""From a configuration to the matrix of runs: what each run is, where it lives, how it is recognised."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from linconv.config.folders import ImageFolderOptions, ValidationOptions
from linconv.config.names import LATER, Frozen, ReportEpoch
from linconv.config.options import ComplexityOptions
from linconv.config.recipes import Recipe
from linconv.config.schema import Config
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
    # what `dataset` means where it is not a built-in one
    imagefolder: Annotated[ImageFolderOptions | None, LATER] = None
    validation: Annotated[ValidationOptions | None, LATER] = None
    report_epoch: Annotated[ReportEpoch, LATER] = "last"

    @property
    def key(self) -> RunKey:
        return RunKey(self.dataset, self.architecture, self.variant, self.seed)

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that change with any value above."""
        return digest(self.identity())


def digest(value: Any) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a JSON-able value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def counted_variants(variants: Mapping[str, Variant]) -> dict[str, Variant]:
    """The variants whose complexity is counted before training: the counts of pruned ones are in their runs."""
    return {name: variant for name, variant in variants.items() if variant.pruning is None}


def complexity_hash(options: ComplexityOptions, variants: Mapping[str, Variant]) -> str:
    """16 hexadecimal digits that change with all that decides what complexity.json holds."""
    definitions = {name: variant.identity() for name, variant in counted_variants(variants).items()}
    return digest({"options": options.identity(), "variants": definitions})


def plan_runs(config: Config) -> list[RunKey]:
    """Every run of the grid but those excluded, data set first, seed last."""
    return [RunKey(*cell, seed) for cell in plan_cells(config) for seed in config.seeds]


def plan_cells(config: Config) -> list[tuple[str, str, str]]:
    """(data set, architecture, variant) of every cell of the grid but those excluded."""
    grid = itertools.product(config.datasets, config.architectures, config.variants)
    return [cell for cell in grid if not any(hole.covers(*cell) for hole in config.exclude)]


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
        validation=config.validation,
        report_epoch=config.report_epoch,
    )
