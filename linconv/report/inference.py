"""The cells of an experiment, and the model of each network on a data set that its verdicts come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from linconv.catalogue.datasets import DATASETS
from linconv.config import Config, RunKey, plan_cells
from linconv.config.methods import PLAIN
from linconv.results.outcomes import Outcomes
from linconv.statistics import Margin, Model, Spread, fit, spread

Place = tuple[str, str]  # data set, network


class Cell(NamedTuple):
    """One cell: how many runs were planned, diverged and are missing, and the accuracies of those that finished.

    The interval of `value` is the model's, for other seeds and other test images.
    """

    dataset: str
    architecture: str
    variant: str
    planned: int
    diverged: int
    missing: int
    value: Spread

    @property
    def place(self) -> Place:
        """The data set and the network."""
        return self.dataset, self.architecture

    @property
    def baseline(self) -> bool:
        """Whether it is the plain network."""
        return self.variant == PLAIN


def score_table(runs: pd.DataFrame, place: Place, variants: Iterable[str], metric: str = "top1") -> pd.DataFrame:
    """A metric of the finished runs of a network on a data set: a row per seed, a column per variant that has one."""
    done = runs[(runs["status"] == "ok") & runs[metric].notna()]
    done = done[(done["dataset"] == place[0]) & (done["architecture"] == place[1])]
    table = done.pivot(index="seed", columns="variant", values=metric).astype(float)
    return table[[variant for variant in variants if variant in table]]


def accuracy_models(runs: pd.DataFrame, config: Config, outcomes: Mapping[RunKey, Outcomes]) -> dict[Place, Model]:
    """The model of the accuracies of each network on a data set with a finished run."""
    places = dict.fromkeys((dataset, architecture) for dataset, architecture, _ in plan_cells(config))
    tables = {place: score_table(runs, place, config.variants) for place in places}
    return {
        place: fit(table, *_images(runs, place, _correct(table, place, outcomes)))
        for place, table in tables.items()
        if not table.empty
    }


def _correct(
    table: pd.DataFrame, place: Place, outcomes: Mapping[RunKey, Outcomes]
) -> dict[tuple[str, int], np.ndarray]:
    """Right or not by variant and seed, of the runs that have outcomes."""
    keys = [RunKey(*place, str(variant), int(seed)) for variant in table for seed in table.index]
    return {(key.variant, key.seed): outcomes[key].correct for key in keys if key in outcomes}


def _images(
    runs: pd.DataFrame, place: Place, correct: dict[tuple[str, int], np.ndarray]
) -> tuple[dict[tuple[str, int], np.ndarray] | None, int | None]:
    """Outcomes that can be paired image by image, and the number of test images, as far as either is known."""
    own = runs[(runs["dataset"] == place[0]) & (runs["architecture"] == place[1]) & (runs["status"] == "ok")]
    counts = {len(values) for values in correct.values()}
    if len(counts) > 1 or own["data"].nunique() > 1:  # other images: nothing to pair
        return None, min(counts, default=None)
    known = DATASETS[place[0]].test_images if place[0] in DATASETS else None
    return correct or None, next(iter(counts), known)


def joint_model(runs: pd.DataFrame, config: Config, outcomes: Mapping[RunKey, Outcomes], dataset: str) -> Model | None:
    """One model of all networks on a data set, whose variants are named network/variant; None without a run.

    For comparisons across networks, which have seeds and test images in common.
    """
    tables: list[pd.DataFrame] = []
    correct: dict[tuple[str, int], np.ndarray] = {}
    count = None
    for architecture in config.architectures:
        place = (dataset, architecture)
        table = score_table(runs, place, config.variants)
        own, count = _images(runs, place, _correct(table, place, outcomes))
        correct |= {(f"{architecture}/{variant}", seed): values for (variant, seed), values in (own or {}).items()}
        tables.append(table.set_axis([f"{architecture}/{variant}" for variant in table], axis=1))
    joined = pd.concat(tables, axis=1).sort_index()
    return None if joined.empty else fit(joined, correct, count)


def margins(models: Mapping[Place, Model], config: Config) -> dict[Place, Margin]:
    """The margin of equivalence of each network on a data set, and the plain network's error."""
    found = {}
    for place, model in models.items():
        error = 100 - float(model.means[model.variants.index(PLAIN)]) if PLAIN in model.variants else math.nan
        found[place] = Margin(config.statistics.margin_of(place[0], error), max(0.0, error))
    return found


def cells(runs: pd.DataFrame, config: Config, models: Mapping[Place, Model]) -> list[Cell]:
    """Every planned data set, network and variant, in the order of the configuration."""
    groups = dict(iter(runs.groupby(["dataset", "architecture", "variant"], sort=False)))
    level = 1 - config.statistics.alpha
    found = []
    for key in plan_cells(config):
        group = groups.get(key, runs.iloc[:0])
        done = group[(group["status"] == "ok") & group["top1"].notna()]
        value = spread(done["top1"].astype(float), level)
        if value.n:
            low, high = models[key[:2]].interval(key[2], level)
            value = value._replace(low=low, high=high)
        planned = len(config.seeds)
        found.append(Cell(*key, planned, len(group) - len(done), planned - len(group), value))
    return found


def control_of(config: Config) -> str | None:
    """The narrow network that all others of its size are compared with; None without one, or with several."""
    narrow = [v for v in config.variants if config.known_variants[v].narrow_to is not None]
    return narrow[0] if len(narrow) == 1 else None
