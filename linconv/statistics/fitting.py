"""Fits the model of `linconv.statistics.model` to accuracies and, where there are any, the outcomes of the images.

Several splits of the data: each has training and test images of its own, drawn from the same pool, so the outcomes of
one image do not pair across them. The mean over the seeds of a split takes the place of a run, and its variance, beyond
that of the seeds, is what images and training sets do. Splits have images in common, so their mean varies more than
that of independent ones: of J splits that test a share t of the pool, by 1/J + t/(1 - t) times that variance.

Sources: Satterthwaite, Biometrics Bulletin 2 (1946), 110-114 (degrees of freedom); Nadeau & Bengio, Machine Learning 52
(2003), 239-281 (splits with images in common); Bengio & Grandvalet, J. Mach. Learn. Res. 5 (2004), 1089-1105 (why this
is an approximation: what all training sets have in common shows in no split).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from linconv.statistics.crossed import Own, constant, is_crossed, run_part, two_way
from linconv.statistics.model import MOST_FREEDOM, CovariancePart, ImageVariance, Model
from linconv.statistics.spread import ROUNDING


def fit(
    scores: pd.DataFrame,
    correct: Mapping[tuple[str, int], np.ndarray] | None = None,
    images: int | None = None,
    tested: float | None = None,
) -> Model:
    """Fit the model to the accuracies of one network on one data set.

    Args:
        scores: percent; a row per seed, a column per variant with at least one value, NaN for a run that is missing. Of
            several splits a row per (split, seed), an index of two levels.
        correct: bool (images,) by variant and seed, in one order of images. The images' part is measured if every run
            of `scores` has one; else it is bounded.
        images: in the test set, None if not known; of no effect with `correct`. Of several splits all that they draw
            from.
        tested: the share of the images that each of several splits tests.

    Raises:
        ValueError: several splits, and no share between 0 and 1.
    """
    if scores.index.nlevels > 1:
        return _over_splits(scores, images, tested)
    variants, table = tuple(map(str, scores.columns)), scores.to_numpy(dtype=float)
    there = ~np.isnan(table)
    linear, pooled, freedom, own = two_way(table, there)
    parts = [run_part(linear, there, list(range(len(variants))), own, pooled, freedom)]
    parts += [run_part(linear, there, [v], own, own[v][0], own[v][1]) for v in own]
    means = means_of(linear, table, there)
    alone = _alone(table, there, pooled, freedom, own)
    seen = of_images(scores, means, correct, images)
    if seen.parts:
        alone = _with_images(alone, *seen.alone)
    apart = tuple(variants[v] for v in own)
    return Model(
        variants,
        means,
        there.sum(0),
        (*parts, *seen.parts),
        alone,
        math.sqrt(pooled),
        freedom,
        apart,
        seen.known,
        seen.total,
    )


class OfImages(NamedTuple):
    """The part of the test images: how it is known, of how many; `alone` is that of single means, and its freedom."""

    known: ImageVariance
    total: int | None
    parts: tuple[CovariancePart, ...] = ()
    alone: tuple[np.ndarray, float] = (np.zeros(0), math.nan)


def of_images(
    scores: pd.DataFrame,
    means: np.ndarray,
    correct: Mapping[tuple[str, int], np.ndarray] | None,
    images: int | None,
) -> OfImages:
    """Measured where every run has outcomes, else bounded; see `fit`."""
    stacked = _stacked(scores, correct)
    if stacked is not None:
        both, rest = _image_parts(stacked)
        single = np.diag(both.covariance) - np.diag(rest.covariance)
        count = next(iter(stacked.values())).shape[1]
        return OfImages("measured", count, (both, rest), (single, both.freedom))
    if not images:
        return OfImages("unknown", None)
    failed = images * (1 - means / 100) + 1  # a failure and a success more (Agresti & Caffo 2000): never 0
    share = failed / (images + 2)
    bound = 1e4 * share * (1 - share) / images
    part = CovariancePart("images", np.diag(bound), images - 1.0)
    return OfImages("bounded", images, (part,), (bound, part.freedom))


def means_of(linear: np.ndarray, table: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(k,) means of the variants. What is 0 or 100 but for rounding is so: three times 100 gives 99.99999999999999."""
    means = linear @ np.where(there, table, 0).T.ravel()
    for end in (0.0, 100.0):
        means[np.abs(means - end) < ROUNDING] = end
    return means


def _stacked(
    scores: pd.DataFrame, correct: Mapping[tuple[str, int], np.ndarray] | None
) -> dict[str, np.ndarray] | None:
    """(runs, images) of 0 and 100 by variant; None unless every run has outcomes, of as many images as all others."""
    if not correct:
        return None
    runs = {str(v): [correct.get((str(v), int(s))) for s in scores.index[scores[v].notna()]] for v in scores}
    lengths = {None if c is None else len(c) for found in runs.values() for c in found}
    if len(lengths) != 1 or None in lengths:
        return None
    return {v: 100.0 * np.stack(found) for v, found in runs.items()}  # type: ignore[arg-type]


def _over_splits(scores: pd.DataFrame, images: int | None, tested: float | None) -> Model:
    if tested is None or not 0 < tested < 1:
        raise ValueError(f"the share of the images that a split tests must lie between 0 and 1, it is {tested}")
    more = tested / (1 - tested)
    splits = scores.groupby(level=0)
    table, runs = splits.mean().to_numpy(dtype=float), splits.count().to_numpy()
    there = runs > 0
    of_seeds, seed_freedom = _within(scores)
    per_mean = of_seeds * float((1 / runs[there]).mean())  # what the seeds do to the mean of a split
    linear, pooled, freedom, own = two_way(table, there)
    variants = tuple(map(str, scores.columns))
    parts = []
    for chosen, (variance, own_freedom) in [(None, (pooled, freedom)), *own.items()]:
        members = [v for v in range(len(variants)) if (v not in own if chosen is None else v == chosen)]
        beyond, beyond_freedom = beyond_seeds(variance, own_freedom, per_mean, seed_freedom)
        # where the part of the splits is held at 0, no error is known better than by the splits' degrees of freedom
        freedom_of_seeds = max(1.0, seed_freedom if beyond else min(seed_freedom, own_freedom))
        shape = run_part(linear, there, members, own, 1.0, 1.0).covariance
        overlap = more * np.diag([float(v in members) for v in range(len(variants))])
        parts.append(CovariancePart("seeds", per_mean * shape, freedom_of_seeds if seed_freedom else 0.0))
        parts.append(CovariancePart("splits", beyond * (shape + overlap), beyond_freedom))
    alone, alone_freedom = _alone(table, there, pooled, freedom, own)
    alone = alone + more * np.maximum(0, alone * there.sum(0) - per_mean)
    means = means_of(linear, table, there)
    apart = tuple(variants[v] for v in own)
    residual = of_seeds if seed_freedom > 0 else pooled
    return Model(
        variants,
        means,
        runs.sum(0),
        tuple(parts),
        (alone, alone_freedom),
        math.sqrt(residual),
        seed_freedom if seed_freedom > 0 else freedom,
        apart,
        "splits",
        images,
        there,
    )


def _within(scores: pd.DataFrame) -> tuple[float, float]:
    """The variance of a run about its variant and seed within a split, with its freedom; 0 with one seed a split."""
    squares = freedom = 0.0
    for _, of_split in scores.groupby(level=0):
        table = of_split.dropna(axis=1, how="all").to_numpy(dtype=float)
        _, variance, own_freedom, apart = two_way(table, ~np.isnan(table))
        for value, degrees in ((variance, own_freedom), *apart.values()):
            if math.isfinite(value) and degrees > 0:
                squares, freedom = squares + value * degrees, freedom + degrees
    return (squares / freedom, freedom) if freedom else (0.0, 0.0)


def beyond_seeds(variance: float, freedom: float, of_seeds: float, seed_freedom: float) -> tuple[float, float]:
    """The variance of a split's mean beyond that of its seeds, 0 or above, and its degrees of freedom."""
    if not math.isfinite(variance):  # no two variants have two splits in common: nothing of them is tested
        return 0.0, 1.0
    beyond = max(0.0, variance - of_seeds)
    weighed = variance**2 / freedom + (of_seeds**2 / seed_freedom if seed_freedom else 0.0)
    return beyond, max(beyond**2 / weighed, 1e-9) if weighed > 0 else 1.0


def _image_parts(stacked: Mapping[str, np.ndarray]) -> tuple[CovariancePart, CovariancePart]:
    """The images' part, and what it has in common with the seeds': the outcome of one run on one image."""
    averages = np.stack([table.mean(0) for table in stacked.values()])
    count = averages.shape[1]
    covariance = np.atleast_2d(np.cov(averages)) / count
    rest, freedom = np.zeros(len(averages)), 0
    for v, table in enumerate(stacked.values()):
        runs = len(table)
        if runs > 1:
            left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
            rest[v] = (left**2).sum() / ((runs - 1) * (count - 1)) / (runs * count)
            freedom += (runs - 1) * (count - 1)
    return CovariancePart("images", covariance, count - 1.0), CovariancePart(
        "rest", np.diag(rest), max(freedom, 1.0), sign=-1
    )


def _alone(
    table: np.ndarray, there: np.ndarray, pooled: float, freedom: float, own: Own
) -> tuple[np.ndarray, np.ndarray]:
    """Variance and freedom of each mean by itself, by the seeds: what seeds do to all variants alike is in it too.

    The variance is NaN where no variant has two runs: then nothing is known of the seeds.
    """
    variants, seeds = table.shape[1], table.shape[0]
    flat = constant(table)
    together = [v for v in range(variants) if v not in own and v not in flat]
    centred = np.where(there, table - np.nanmean(table, axis=0), np.nan)[:, together]
    used = ~np.isnan(centred).all(axis=1)
    by_seed = np.nanmean(centred[used], axis=1) if used.any() else np.zeros(0)
    k, n = len(together), len(by_seed)
    common = k * float((by_seed**2).sum()) / (n - 1) if n > 1 else 0.0
    one = (common + (k - 1) * pooled) / k if k else math.nan
    weighed = (common / k) ** 2 / (n - 1) + ((k - 1) * pooled / k) ** 2 / max(freedom, 1e-9) if k and n > 1 else 0.0
    of_one = one**2 / weighed if weighed > 0 else max(seeds - 1.0, 1.0)
    if not is_crossed(there, together):  # then the pooled variance has what seeds do to all variants in it
        one, of_one = pooled, max(freedom, 1e-9)
    variance, freedoms = np.full(variants, one), np.full(variants, of_one)
    # Cochran's test needs three: of two variants neither lends the other its spread
    for v in [*own, *(together if k == 2 else ())]:
        if there[:, v].sum() > 1:
            variance[v], freedoms[v] = float(np.nanvar(table[:, v], ddof=1)), there[:, v].sum() - 1.0
    return variance / np.maximum(there.sum(0), 1), freedoms


def _with_images(
    alone: tuple[np.ndarray, np.ndarray], images: np.ndarray, freedom: float
) -> tuple[np.ndarray, np.ndarray]:
    seeds, of_seeds = alone
    images = np.maximum(images, 0)
    total = seeds + images
    weighed = seeds**2 / of_seeds + images**2 / freedom
    return total, np.where(
        weighed > 0, np.minimum(MOST_FREEDOM, total**2 / np.where(weighed > 0, weighed, 1)), of_seeds
    )
