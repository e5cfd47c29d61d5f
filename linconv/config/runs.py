"""From a configuration to the matrix of runs: what each run is, where it lives, how it is recognized."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from linconv.catalogue.frozen import Frozen, OmitDefaultFromHash, ReportEpoch
from linconv.config.folders import ImageFolderOptions, ValidationOptions
from linconv.config.recipes import RateSearch, Recipe
from linconv.config.schema import Config
from linconv.config.variants import Variant


class RunKey(NamedTuple):
    """The five coordinates of a run within an experiment; `split` 0 is the data set's own split."""

    dataset: str
    architecture: str
    variant: str
    seed: int
    split: int = 0

    @property
    def draw(self) -> str:
        """What chance decides, as folders and messages name it: the seed, after a split that is not the data set's."""
        return f"split{self.split}-seed{self.seed}" if self.split else f"seed{self.seed}"

    @property
    def options(self) -> list[str]:
        """The options of `linconv train` that name the seed and the split."""
        return ["--seed", str(self.seed), *(["--split", str(self.split)] if self.split else [])]

    @property
    def path(self) -> Path:
        """The run's folder, relative to results/<experiment>/."""
        return Path("runs", self.dataset, self.architecture, self.variant, self.draw)

    @property
    def log(self) -> Path:
        """The run's log as the pipeline writes it, relative to results/<experiment>/."""
        return Path("logs", "train", self.dataset, self.architecture, self.variant, f"{self.draw}.log")

    def __str__(self) -> str:
        return f"{self.dataset}/{self.architecture}/{self.variant}/{self.draw}"


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
    split: Annotated[int, OmitDefaultFromHash] = 0  # of `linconv.data.resplit`; 0: as published
    # what `dataset` means where it is not a built-in one
    imagefolder: Annotated[ImageFolderOptions | None, OmitDefaultFromHash] = None
    validation: Annotated[ValidationOptions | None, OmitDefaultFromHash] = None
    report_epoch: Annotated[ReportEpoch, OmitDefaultFromHash] = "last"
    rate_search: Annotated[RateSearch | None, OmitDefaultFromHash] = None

    @property
    def key(self) -> RunKey:
        return RunKey(self.dataset, self.architecture, self.variant, self.seed, self.split)

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that change with any value above."""
        return digest(self.identity())


def digest(value: Any) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a JSON-able value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plan_runs(config: Config) -> list[RunKey]:
    """Every run of the grid but those excluded, data set first, seed last."""
    return [RunKey(*cell, *draw) for cell in plan_cells(config) for draw in config.draws]


def plan_cells(config: Config) -> list[tuple[str, str, str]]:
    """(data set, architecture, variant) of every cell of the grid but those excluded."""
    grid = itertools.product(config.datasets, config.architectures, config.variants)
    return [cell for cell in grid if not any(exclusion.covers(*cell) for exclusion in config.exclude)]


def resolve_run(config: Config, key: RunKey) -> ResolvedRun:
    """The full description of one run of the grid.

    Raises:
        ValueError: the run is not part of the configuration.
    """
    if not _is_planned(config, key):
        raise ValueError(f"{key} is not a run of experiment '{config.experiment}'")
    return _resolve(config, key, config.known_variants, config.recipe.resolve(key.architecture, key.dataset))


def resolve_runs(config: Config) -> dict[RunKey, ResolvedRun]:
    """Every run of the grid, in the order of `plan_runs`; what the seeds of a cell share is resolved once."""
    variants = config.known_variants
    recipes: dict[tuple[str, str], Recipe] = {}
    runs: dict[RunKey, ResolvedRun] = {}
    for cell in plan_cells(config):
        dataset, architecture, _ = cell
        if (dataset, architecture) not in recipes:
            recipes[dataset, architecture] = config.recipe.resolve(architecture, dataset)
        first = _resolve(config, RunKey(*cell, *config.draws[0]), variants, recipes[dataset, architecture])
        for seed, split in config.draws:
            runs[RunKey(*cell, seed, split)] = first.model_copy(update={"seed": seed, "split": split})
    return runs


def run_hashes(config: Config) -> dict[RunKey, str]:
    """`ResolvedRun.hash` of every run of the grid; what the seeds of a cell share is described once."""
    runs = resolve_runs(config)
    hashes = {}
    for cell, split in itertools.product(plan_cells(config), config.splits):
        shared = runs[RunKey(*cell, config.seeds[0], split)].identity()
        for seed in config.seeds:
            hashes[RunKey(*cell, seed, split)] = digest(shared | {"seed": seed})
    return hashes


def _is_planned(config: Config, key: RunKey) -> bool:
    grid = zip(key, (config.datasets, config.architectures, config.variants, config.seeds, config.splits), strict=True)
    return all(name in names for name, names in grid) and not any(
        exclusion.covers(*key[:3]) for exclusion in config.exclude
    )


def _resolve(config: Config, key: RunKey, variants: Mapping[str, Variant], recipe: Recipe) -> ResolvedRun:
    return ResolvedRun(
        experiment=config.experiment,
        dataset=key.dataset,
        architecture=key.architecture,
        variant=key.variant,
        seed=key.seed,
        definition=variants[key.variant],
        recipe=recipe,
        augment=config.augment,
        correlation_layers=config.correlation_layers,
        split=key.split,
        imagefolder=config.imagefolders.get(key.dataset),
        validation=config.validation,
        report_epoch=config.report_epoch,
        rate_search=config.recipe.rate_search,
    )
