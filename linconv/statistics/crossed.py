"""The crossed layout of variants and rows, a row being a seed or a split of the data: effects and what is left of them.

Sources: Scheffe, The Analysis of Variance, 1959, ch. 4 (crossed layouts); Cochran, Annals of Eugenics 11 (1941), 47-52
(the largest of several variances).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from scipy import special

from linconv.statistics.model import CovariancePart
from linconv.statistics.spread import NO_ERROR

LEVEL = 0.05  # of the tests that set a variant apart, or leave it out of the pool

Own = dict[int, tuple[float, float]]  # variance and degrees of freedom of the variants set apart, by their number


def two_way(table: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, float, float, Own]:
    """Means as linear functions (k, k * seeds) of the scores, the pooled variance with its freedom, and others' own.

    Where the rows cannot be told from the variants (see `is_crossed`), their effects are left in the variance. Variants
    whose runs are all alike (see `constant`), such as networks at chance, are in no pool: they would narrow the others'
    intervals. The pooled variance stands for theirs.
    """
    flat = constant(table)
    pool = [v for v in range(table.shape[1]) if v not in flat]
    own: Own = {}
    while True:
        linear, seed_rows, leverage = _least_squares(there, pool, flat, crossed=is_crossed(there, pool))
        values = np.where(there, table, 0).T.ravel()
        effects = seed_rows @ values
        spread: Own = {}
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


def constant(table: np.ndarray) -> set[int]:
    """The variants whose runs are all alike, and not by chance, as those of a few test images can be.

    Values are multiples of a step, the smallest difference of any two. By chance n of them are alike as often as n
    normal values fall into one step, with the spread of the variants that vary.
    """
    columns = [column[~np.isnan(column)] for column in table.T]
    varying = [column for column in columns if len(column) > 1 and np.ptp(column) >= NO_ERROR]
    if not varying:
        return set()
    gaps = np.diff(np.unique(np.concatenate(columns)))
    ratio = gaps[gaps >= NO_ERROR].min() / math.sqrt(np.mean([column.var(ddof=1) for column in varying]))

    def by_chance(n: int) -> float:
        return float((ratio / math.sqrt(2 * math.pi)) ** (n - 1) / math.sqrt(n))

    return {
        v
        for v, column in enumerate(columns)
        if len(column) > 1 and np.ptp(column) < NO_ERROR and len(columns) * by_chance(len(column)) <= LEVEL
    }


def is_crossed(there: np.ndarray, pool: Sequence[int]) -> bool:
    """Whether the variants in `pool` tell the effects of all rows, and leave a degree of freedom for the variance.

    They tell them where every row is linked to every other one by variants that have runs in both. Else the difference
    of two variants without such a link would be whatever the solver makes of it.
    """
    of_pool = there[:, list(pool)]
    used = there.any(1)
    linked = np.zeros(len(there), dtype=bool)
    linked[np.flatnonzero(used)[:1]] = True
    while True:
        reached = linked | of_pool[:, of_pool[linked].any(0)].any(1)
        if (reached == linked).all():
            break
        linked = reached
    return bool(linked[used].all()) and int(of_pool.sum()) - len(pool) - int(used.sum()) + 1 >= 1


def _widest(spread: Own, squares: float, freedom: float) -> int | None:
    """The variant whose variance is above that of the others by Cochran's test, None if none is."""
    if len(spread) < 3:
        return None
    v = max(spread, key=lambda v: spread[v][0] / spread[v][1])
    others, left = squares - spread[v][0], freedom - spread[v][1]
    if left <= 0.5 or others <= 1e-12:
        return None
    ratio = spread[v][0] / spread[v][1] / (others / left)
    return v if len(spread) * special.fdtrc(spread[v][1], left, ratio) <= LEVEL else None


def _least_squares(
    there: np.ndarray, pool: Sequence[int], flat: Collection[int], *, crossed: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (k, k * seeds) and seed effects (seeds, k * seeds) as functions of the scores; each variant's freedom.

    The effects of seeds sum to 0 and come from the variants in `pool` alone; they are 0 unless `crossed`.
    """
    seeds, variants = there.shape
    cells = [(v, s) for v in pool for s in range(seeds) if there[s, v]]
    design = np.zeros((len(cells), len(pool) + seeds))
    for row, (v, s) in enumerate(cells):
        design[row, pool.index(v)] = 1
        design[row, len(pool) + s] = crossed
    # the row that makes the effects of seeds sum to 0 is fitted exactly: effects and means can trade a constant
    constraint = np.r_[np.zeros(len(pool)), there.any(1)][None]  # a row without a run has no effect to trade with
    inverse = np.linalg.pinv(np.vstack([design, constraint]))[:, : len(cells)]
    places = [v * seeds + s for v, s in cells]
    linear, effects = np.zeros((variants, variants * seeds)), np.zeros((seeds, variants * seeds))
    effects[:, places] = inverse[len(pool) :]
    for row, v in enumerate(pool):
        linear[v, places] = inverse[row]
    for v in (v for v in range(variants) if v not in pool):
        rows = np.flatnonzero(there[:, v])
        linear[v, v * seeds + rows] = 1 / len(rows)
        if v not in flat:  # a row that does nothing to it takes nothing from it
            linear[v] -= effects[rows].mean(0)
    hat = np.einsum("ij,ji->i", design, inverse)
    freedom = np.zeros(variants)
    for (v, _), of_hat in zip(cells, hat, strict=True):
        freedom[v] += 1 - of_hat
    return linear, effects, freedom


def run_part(
    linear: np.ndarray, there: np.ndarray, chosen: Sequence[int], own: Own, variance: float, freedom: float
) -> CovariancePart:
    """The part of the covariance that comes from the runs of some variants, those set apart left out unless alone."""
    seeds = there.shape[0]
    columns = [v * seeds + s for v in chosen if len(chosen) == 1 or v not in own for s in range(seeds) if there[s, v]]
    weights = linear[:, columns]
    return CovariancePart(
        "seeds", weights @ weights.T * (variance if math.isfinite(variance) else 0.0), max(freedom, 1e-9)
    )
