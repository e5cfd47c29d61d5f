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
from linconv.statistics import NO_ERROR, Margin, Model, Spread, fit, fit_networks, spread

Place = tuple[str, str]  # data set, network


class Cell(NamedTuple):
    """One cell: how many runs were planned, diverged and are missing, and the accuracies of those that finished.

    Mean and interval of `value` are the model's, for other seeds and other test images; where a variant lacks seeds or
    splits that others have, the mean is adjusted for them. `raw` is the mean of the runs as they are.
    """

    dataset: str
    architecture: str
    variant: str
    planned: int
    diverged: int
    missing: int
    value: Spread
    raw: float

    @property
    def adjusted(self) -> bool:
        """Whether the mean is not that of the runs as they are."""
        return self.value.mean != self.raw and self.value.n > 0

    @property
    def place(self) -> Place:
        """The data set and the network."""
        return self.dataset, self.architecture

    @property
    def baseline(self) -> bool:
        """Whether it is the plain network."""
        return self.variant == PLAIN


def score_table(
    runs: pd.DataFrame, place: Place, variants: Iterable[str], metric: str = "top1", *, by_split: bool | None = None
) -> pd.DataFrame:
    """A metric of the finished runs of a network on a data set: a column per variant that has one.

    A row per seed; `by_split`, by default of runs on several splits of the data, a row per (split, seed).
    """
    done = _finished(runs, place).dropna(subset=[metric])
    if by_split is None:
        by_split = done["split"].nunique() > 1
    rows = ["split", "seed"] if by_split else "seed"
    table = done.pivot(index=rows, columns="variant", values=metric).astype(float)
    return table[[variant for variant in variants if variant in table]]


def accuracy_models(runs: pd.DataFrame, config: Config, outcomes: Mapping[RunKey, Outcomes]) -> dict[Place, Model]:
    """The model of the accuracies of each network on a data set with a finished run."""
    places = dict.fromkeys((dataset, architecture) for dataset, architecture, _ in plan_cells(config))
    tables = {place: score_table(runs, place, config.variants) for place in places}
    return {
        place: fit(
            table,
            *_images(
                _finished(runs, place),
                place[0],
                _correct(table, place, outcomes),
                by_split=table.index.nlevels > 1,
            ),
            tested_share(runs, place),
        )
        for place, table in tables.items()
        if not table.empty
    }


def _correct(
    table: pd.DataFrame, place: Place, outcomes: Mapping[RunKey, Outcomes]
) -> dict[tuple[str, int], np.ndarray]:
    """Right or not by variant and seed, of the runs that have outcomes."""
    if table.index.nlevels > 1:  # each split has test images of its own
        return {}
    runs = {
        (key.variant, key.seed): found for key, found in outcomes.items() if (key.dataset, key.architecture) == place
    }
    return {run: found.correct for run, found in runs.items() if run[0] in table and run[1] in table.index}


def _images(
    done: pd.DataFrame, dataset: str, correct: Mapping[tuple[str, int], np.ndarray], *, by_split: bool
) -> tuple[Mapping[tuple[str, int], np.ndarray] | None, int | None]:
    """Outcomes that can be paired image by image, and the number of test images, as far as either is known.

    Over several splits there are no such outcomes, and the number is that of all images. `done` are the finished runs.
    """
    published = DATASETS[dataset].images if dataset in DATASETS else None
    recorded = done[["train_images", "test_images"]].dropna().astype(int)
    if by_split:
        return None, sum(published) if published else None if recorded.empty else int(recorded.sum(axis=1).max())
    counts = {len(values) for values in correct.values()} or set(recorded["test_images"])
    count = min(counts, default=published and published[1])
    same = len(counts) == 1 and _same_images(done)  # of other images there is nothing to pair
    return correct if correct and same else None, count and int(count)


def _same_images(runs: pd.DataFrame) -> bool:
    """Whether the outcomes of runs are of the same images in the same order.

    Streamed images have no digest and another order: they are none of those in memory, even where the files are.
    """
    return bool(runs["data"].nunique(dropna=False) <= 1)


def tested_share(runs: pd.DataFrame, place: Place) -> float | None:
    """The share of a data set's images that its splits test; None where no run has recorded their numbers."""
    own = _finished(runs, place)[["train_images", "test_images"]].dropna()
    return None if own.empty else float((own["test_images"] / own.sum(axis=1)).max())


def _finished(runs: pd.DataFrame, place: Place) -> pd.DataFrame:
    return runs[(runs["dataset"] == place[0]) & (runs["architecture"] == place[1]) & (runs["status"] == "ok")]


def joint_model(runs: pd.DataFrame, config: Config, outcomes: Mapping[RunKey, Outcomes], dataset: str) -> Model | None:
    """One model of all networks on a data set, whose variants are named network/variant; None without a run.

    For comparisons across networks, which have seeds and test images in common. Where the finished runs of the data set
    are of several splits, it is over splits, also for a network that has finished one alone.
    """
    done = runs[(runs["dataset"] == dataset) & (runs["status"] == "ok")].dropna(subset=["top1"])
    by_split = done["split"].nunique() > 1
    tables: dict[str, pd.DataFrame] = {}
    correct: dict[tuple[str, int], np.ndarray] = {}
    for architecture in config.architectures:
        place = (dataset, architecture)
        table = score_table(runs, place, config.variants, by_split=by_split)
        found = _correct(table, place, outcomes)
        correct |= {(f"{architecture}/{variant}", seed): values for (variant, seed), values in found.items()}
        if not table.empty:
            tables[architecture] = table.set_axis([f"{architecture}/{variant}" for variant in table], axis=1)
    if not tables:
        return None
    done = done[done["architecture"].isin(list(tables))]
    shares = [share for a in tables if (share := tested_share(runs, (dataset, a))) is not None]
    return fit_networks(tables, *_images(done, dataset, correct, by_split=by_split), max(shares, default=None))


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
        raw = value.mean
        if value.n:
            model = models[key[:2]]
            low, high = model.interval(key[2], level)
            value = value._replace(low=low, high=high)
            mean = min(100.0, max(0.0, float(model.means[model.variants.index(key[2])])))
            if abs(mean - raw) >= NO_ERROR:  # else the digits of the plain mean
                value = value._replace(mean=mean)
        planned = len(config.draws)
        found.append(Cell(*key, planned, len(group) - len(done), planned - len(group), value, raw))
    return found


def control_of(config: Config) -> str | None:
    """The narrow network that all others of its size are compared with; None without one, or with several."""
    narrow = [v for v in config.variants if config.known_variants[v].narrow_to is not None]
    return narrow[0] if len(narrow) == 1 else None
