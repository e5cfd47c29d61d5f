"""Mean, deviation and interval of independent values, and an interval for an accuracy that stays an accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import special

NO_ERROR = 1e-5  # points; below it is rounding: one image of 50,000 is a step of 0.002 points
ROUNDING = 1e-9  # points; what is smaller is that of the arithmetic


class Spread(NamedTuple):
    """Mean, sample standard deviation (ddof 1) and confidence interval of the mean of n values.

    All but the mean are NaN for n = 1, everything is NaN for n = 0.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float


def spread(values: Iterable[float], level: float = 0.95) -> Spread:
    """Mean, standard deviation and Student's t interval of independent values.

    Args:
        values: one value per run, all finite.
        level: the confidence of the interval, in (0, 1).
    """
    x = np.asarray(list(values), dtype=float)
    n = len(x)
    mean = float(x.mean()) if n else math.nan
    if n < 2:
        return Spread(n, mean, math.nan, math.nan, math.nan)
    sd = float(x.std(ddof=1))
    half = float(special.stdtrit(n - 1, (1 + level) / 2)) * sd / math.sqrt(n)
    return Spread(n, mean, sd, mean - half, mean + half)


def accuracy_interval(
    accuracy: float, error: float, freedom: float, images: int | None, level: float
) -> tuple[float, float]:
    """The interval of an accuracy, inside [0, 100]; NaN where nothing is known of its noise.

    Wilson's interval with the effective number of independent images, which gives the standard error found.

    Args:
        accuracy: percent.
        error: its standard error in percentage points, of all sources; NaN where one of them is not known.
        freedom: degrees of freedom of `error`.
        images: in the test set, None if not known: what stands for `error` where every image was right or none was, or
            where nothing varies.
        level: of confidence.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212; Korn & Graubard, Survey Methodology 24 (1998), 193-201.
    """
    if math.isnan(error):
        return math.nan, math.nan
    share = min(1.0, max(0.0, accuracy / 100))
    variance = share * (1 - share)
    count = variance / (error / 100) ** 2 if error > ROUNDING and variance > 0 else float(images or 0)
    if not count or math.isnan(count):
        return math.nan, math.nan
    if images:
        count = min(count, float(images))
    quantile = float(special.stdtrit(freedom, (1 + level) / 2)) ** 2 / count
    middle, half = share + quantile / 2, math.sqrt(quantile * (variance + quantile / 4))
    # clipped: rounding leaves 1e-16 beyond the ends
    return tuple(100 * min(1.0, max(0.0, end / (1 + quantile))) for end in (middle - half, middle + half))  # type: ignore[return-value]
