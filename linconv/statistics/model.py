"""One model for the accuracies of a network on a data set: variants fixed, seeds and test images crossed with them.

The accuracy of variant v with seed s on image i is

    variant[v] + seed[s] + image[i] + (variant x seed)[v, s] + (variant x image)[v, i] + rest[v, s, i].

Differences of variants keep the parts that a variant has of its own. The variance of (variant x seed) is pooled over
the variants: most of them spread alike, and three seeds of one variant alone leave two degrees of freedom. A variant
that spreads more is set apart by Cochran's test and keeps its own variance. The images' part is taken from the outcomes
of the images; without outcomes it is bounded, as if the networks failed on images independently of each other. Networks
fail on the same hard images, so the bound is wide.

Sources: Scheffe, The Analysis of Variance, 1959, ch. 4 and 8 (crossed layouts); Cochran, Annals of Eugenics 11 (1941),
47-52 (the largest of several variances); Satterthwaite, Biometrics Bulletin 2 (1946), 110-114 (degrees of freedom).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from linconv.statistics.spread import accuracy_interval

COCHRAN = 0.05  # level of the test that sets a variant apart
Images = Literal["measured", "bounded", "unknown"]
_MOST = 1e6  # degrees of freedom above which a t distribution is the normal one


class Part(NamedTuple):
    """A part of the covariance (k, k) of the variants' means, squared points, estimated with `freedom`.

    `sign` is -1 for what two other parts both contain.
    """

    source: Literal["seeds", "images", "rest"]
    covariance: np.ndarray
    freedom: float
    sign: int = 1


class Error(NamedTuple):
    """The standard error of a difference in points, its degrees of freedom, and what each source alone would give."""

    total: float
    freedom: float
    seeds: float
    images: float


@dataclass(frozen=True)
class Model:
    """The fitted model.

    Args:
        variants: k names, in the order of all arrays.
        means: (k,) accuracies in percent, adjusted for the seeds where a variant lacks one.
        runs: (k,) numbers of runs.
        parts: of the covariance of `means`, as far as differences need it.
        alone: (k,) variance and (k,) degrees of freedom of a single mean, seeds and images together.
        residual: standard deviation of a run about its variant's and its seed's mean, pooled, in points.
        freedom: of `residual`.
        apart: variants that spread more than the others and keep their own variance.
        images: how the images' part is known.
        count: test images, None if not known.
    """

    variants: tuple[str, ...]
    means: np.ndarray
    runs: np.ndarray
    parts: tuple[Part, ...]
    alone: tuple[np.ndarray, np.ndarray]
    residual: float
    freedom: float
    apart: tuple[str, ...]
    images: Images
    count: int | None

    def contrast(self, variant: str, reference: str) -> np.ndarray:
        """(k,) weights of the difference of two variants."""
        weights = np.zeros(len(self.variants))
        weights[self.variants.index(variant)] = 1
        weights[self.variants.index(reference)] = -1
        return weights

    def error(self, weights: np.ndarray, seeds_more: float = 1.0) -> Error:
        """The error of a contrast; with `seeds_more` times the seeds, all else as found.

        The estimate of a variance by a difference can come out near 0 or below. It is held at half of what the larger
        source gives: to hold it at all of that covers too often where one source is absent (benchmarks/coverage.py).
        """
        found = [(part, float(weights @ part.covariance @ weights)) for part in self.parts]
        more = {"seeds": seeds_more, "images": 1.0, "rest": 1.0}
        values = [(p, v / more[p.source], min(_MOST, p.freedom * more[p.source])) for p, v in found]
        of = {source: sum(v for p, v, _ in values if p.source == source) for source in more}
        # what images do to a mean of any number of runs, and to this one
        of["images"] = max(0.0, of["images"] - of["rest"] * (1 - 1 / seeds_more))
        variance = max(sum(p.sign * v for p, v, _ in values), of["seeds"] / 2, of["images"] / 2)
        weighed = sum(v**2 / f for _, v, f in values if v > 0)
        freedom = min(_MOST, variance**2 / weighed) if weighed > 0 else math.nan
        return Error(math.sqrt(variance), freedom, math.sqrt(of["seeds"]), math.sqrt(of["images"]))

    @property
    def covariance(self) -> np.ndarray:
        """(k, k), of the means as far as their differences go."""
        total: np.ndarray = sum(part.sign * part.covariance for part in self.parts)  # type: ignore[assignment]
        return total

    def interval(self, variant: str, level: float) -> tuple[float, float]:
        """The interval of one variant's accuracy for other seeds and other images of the same kind, in percent."""
        i = self.variants.index(variant)
        variance, freedom = float(self.alone[0][i]), float(self.alone[1][i])
        return accuracy_interval(float(self.means[i]), math.sqrt(variance), freedom, self.count, level)


def fit(
    scores: pd.DataFrame,
    correct: Mapping[tuple[str, int], np.ndarray] | None = None,
    images: int | None = None,
) -> Model:
    """Fit the model to the accuracies of one network on one data set.

    Args:
        scores: percent; a row per seed, a column per variant with at least one value, NaN for a run that is missing.
        correct: bool (images,) by variant and seed, in one order of images. The images' part is measured if every run
            of `scores` has one; else it is bounded.
        images: in the test set, None if not known; of no effect with `correct`.
    """
    variants, table = tuple(map(str, scores.columns)), scores.to_numpy(dtype=float)
    there = ~np.isnan(table)
    stacked = _stacked(scores, correct)
    linear, pooled, freedom, own = _seeds(table, there)
    parts = [_seed_part(linear, there, list(range(len(variants))), own, pooled, freedom)]
    parts += [_seed_part(linear, there, [v], own, own[v][0], own[v][1]) for v in own]
    means = linear @ np.where(there, table, 0).T.ravel()
    alone = _alone(table, there, pooled, freedom, own)
    if stacked is not None:
        count: int | None = next(iter(stacked.values())).shape[1]
        of_images, rest = _image_parts(stacked)
        parts += [of_images, rest]
        alone = _with_images(alone, np.diag(of_images.covariance) - np.diag(rest.covariance), of_images.freedom)
        known: Images = "measured"
    elif images:
        count, known = images, "bounded"
        failed = images * (1 - means / 100) + 1  # a failure and a success more (Agresti & Caffo 2000): never 0
        share = failed / (images + 2)
        bound = 1e4 * share * (1 - share) / images
        parts.append(Part("images", np.diag(bound), images - 1.0))
        alone = _with_images(alone, bound, images - 1.0)
    else:
        count, known = None, "unknown"
    apart = tuple(variants[v] for v in own)
    return Model(variants, means, there.sum(0), tuple(parts), alone, math.sqrt(pooled), freedom, apart, known, count)


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


_Own = dict[int, tuple[float, float]]  # variance and degrees of freedom of the variants set apart, by their number


def _seeds(table: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, float, float, _Own]:
    """Means as linear functions (k, k * seeds) of the scores, the pooled variance with its freedom, and others' own."""
    pool = list(range(table.shape[1]))
    own: _Own = {}
    while True:
        linear, seed_rows, leverage = _least_squares(there, pool)
        values = np.where(there, table, 0).T.ravel()
        effects = seed_rows @ values
        spread: _Own = {}
        for v in range(table.shape[1]):
            rows = there[:, v]
            left = table[rows, v] - effects[rows]
            squares = float(((left - left.mean()) ** 2).sum())
            spread[v] = (squares, leverage[v] if v in pool else rows.sum() - 1.0)
        squares, freedom = (sum(spread[v][i] for v in pool) for i in (0, 1))
        own = {v: (spread[v][0] / spread[v][1], spread[v][1]) for v in own if spread[v][1] > 0}
        widest = _widest({v: spread[v] for v in pool if spread[v][1] > 0.5}, squares, freedom)
        if widest is None:
            return linear, squares / freedom if freedom > 0.5 else math.nan, freedom, own
        pool.remove(widest)
        own[widest] = (math.nan, math.nan)


def _widest(spread: _Own, squares: float, freedom: float) -> int | None:
    """The variant whose variance is above that of the others by Cochran's test, None if none is."""
    if len(spread) < 3:
        return None
    v = max(spread, key=lambda v: spread[v][0] / spread[v][1])
    others, left = squares - spread[v][0], freedom - spread[v][1]
    if left <= 0.5 or others <= 1e-12:
        return None
    ratio = spread[v][0] / spread[v][1] / (others / left)
    return v if len(spread) * stats.f.sf(ratio, spread[v][1], left) <= COCHRAN else None


def _least_squares(there: np.ndarray, pool: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (k, k * seeds) and seed effects (seeds, k * seeds) as functions of the scores; each variant's freedom.

    The effects of seeds sum to 0 and come from the variants in `pool` alone.
    """
    seeds, variants = there.shape
    cells = [(v, s) for v in pool for s in range(seeds) if there[s, v]]
    design = np.zeros((len(cells), len(pool) + seeds))
    for row, (v, s) in enumerate(cells):
        design[row, pool.index(v)] = 1
        design[row, len(pool) + s] = 1
    # the row that makes the effects of seeds sum to 0 is fitted exactly: effects and means can trade a constant
    constraint = np.r_[np.zeros(len(pool)), np.ones(seeds)][None]
    inverse = np.linalg.pinv(np.vstack([design, constraint]))[:, : len(cells)]
    places = [v * seeds + s for v, s in cells]
    linear, effects = np.zeros((variants, variants * seeds)), np.zeros((seeds, variants * seeds))
    effects[:, places] = inverse[len(pool) :]
    for row, v in enumerate(pool):
        linear[v, places] = inverse[row]
    for v in (v for v in range(variants) if v not in pool):
        rows = np.flatnonzero(there[:, v])
        linear[v] = -effects[rows].mean(0)
        linear[v, v * seeds + rows] += 1 / len(rows)
    hat = np.einsum("ij,ji->i", design, inverse)
    freedom = np.zeros(variants)
    for (v, _), of_hat in zip(cells, hat, strict=True):
        freedom[v] += 1 - of_hat
    return linear, effects, freedom


def _seed_part(
    linear: np.ndarray, there: np.ndarray, chosen: Sequence[int], own: _Own, variance: float, freedom: float
) -> Part:
    """The part of the covariance that comes from the runs of some variants, those set apart left out unless alone."""
    seeds = there.shape[0]
    columns = [v * seeds + s for v in chosen if len(chosen) == 1 or v not in own for s in range(seeds) if there[s, v]]
    weights = linear[:, columns]
    return Part("seeds", weights @ weights.T * (variance if math.isfinite(variance) else 0.0), max(freedom, 1e-9))


def _image_parts(stacked: Mapping[str, np.ndarray]) -> tuple[Part, Part]:
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
    return Part("images", covariance, count - 1.0), Part("rest", np.diag(rest), max(freedom, 1.0), sign=-1)


def _alone(
    table: np.ndarray, there: np.ndarray, pooled: float, freedom: float, own: _Own
) -> tuple[np.ndarray, np.ndarray]:
    """Variance and freedom of each mean by itself, by the seeds: what seeds do to all variants alike is in it too."""
    variants, seeds = table.shape[1], table.shape[0]
    together = [v for v in range(variants) if v not in own]
    centred = np.where(there, table - np.nanmean(table, axis=0), np.nan)[:, together]
    used = ~np.isnan(centred).all(axis=1)
    by_seed = np.nanmean(centred[used], axis=1) if used.any() else np.zeros(0)
    k, n = len(together), len(by_seed)
    common = k * float((by_seed**2).sum()) / (n - 1) if n > 1 else 0.0
    rest = pooled if math.isfinite(pooled) else 0.0
    one = (common + (k - 1) * rest) / k if k else 0.0
    weighed = (common / k) ** 2 / (n - 1) + ((k - 1) * rest / k) ** 2 / max(freedom, 1e-9) if k and n > 1 else 0.0
    of_one = one**2 / weighed if weighed > 0 else max(seeds - 1.0, 1.0)
    variance, freedoms = np.full(variants, one), np.full(variants, of_one)
    for v in own:
        variance[v], freedoms[v] = float(np.nanvar(table[:, v], ddof=1)), there[:, v].sum() - 1.0
    return variance / np.maximum(there.sum(0), 1), freedoms


def _with_images(
    alone: tuple[np.ndarray, np.ndarray], images: np.ndarray, freedom: float
) -> tuple[np.ndarray, np.ndarray]:
    seeds, of_seeds = alone
    images = np.maximum(images, 0)
    total = seeds + images
    weighed = seeds**2 / of_seeds + images**2 / freedom
    return total, np.where(weighed > 0, np.minimum(_MOST, total**2 / np.where(weighed > 0, weighed, 1)), of_seeds)
