"""B minus A of values by split and seed, with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from linconv.statistics import spread
from linconv.statistics.spread import ROUNDING

Draw = tuple[int, int]  # split and seed


class MeanDifference(NamedTuple):
    """Mean of B minus A with a 95 % interval, and how it was found: paired by n seeds, Welch's, or without one."""

    how: Literal["paired", "Welch", "none"]
    n: int
    mean: float
    low: float
    high: float


def change(a: Mapping[Draw, float], b: Mapping[Draw, float]) -> MeanDifference:
    """B minus A of values by split and seed.

    Paired where two seeds or more are in both: one seed gives both runs the same initial values and order of images,
    and a paired interval holds whether or not this makes them alike. Else Welch's, for two independent
    samples of any variances; without an interval where one side has a single run. Where nothing varies, the values
    alone say nothing of what other seeds would give: the ends are NaN.
    """
    common = sorted(a.keys() & b.keys())
    if len(common) >= 2:
        paired = spread([b[draw] - a[draw] for draw in common])
        return MeanDifference("paired", paired.n, paired.mean, *_ends(paired.sd, paired.low, paired.high))
    ours, theirs = spread(a.values()), spread(b.values())
    mean = theirs.mean - ours.mean
    n = min(ours.n, theirs.n)
    if n < 2:
        return MeanDifference("none", n, mean, math.nan, math.nan)
    if max(ours.sd, theirs.sd) < ROUNDING:  # no variance to estimate a degree of freedom from
        return MeanDifference("Welch", n, mean, math.nan, math.nan)
    from scipy import stats  # a second to import

    interval = stats.ttest_ind(list(b.values()), list(a.values()), equal_var=False).confidence_interval(0.95)
    return MeanDifference("Welch", n, mean, float(interval.low), float(interval.high))


def _ends(sd: float, low: float, high: float) -> tuple[float, float]:
    return (math.nan, math.nan) if sd < ROUNDING else (low, high)
