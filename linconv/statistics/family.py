"""Simultaneous comparisons: one interval per difference, which decides the verdict, adjusted over all of a family.

The largest of several correlated t statistics has the multivariate t distribution, as in Dunnett's comparisons with a
control and Tukey's of all pairs. Its quantiles are computed from one fixed set of quasi-random points, so that equal
data give equal digits. Networks and data sets have models of their own; a family over several of them shares its level
by Sidak's formula.

Sources: Dunnett, J. Am. Stat. Assoc. 50 (1955), 1096-1121; Hothorn, Bretz & Westfall, Biometrical Journal 50 (2008),
346-363 (one multivariate t for any contrasts); Sidak, J. Am. Stat. Assoc. 62 (1967), 626-633.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize, special

from linconv.statistics.model import Model

POINTS = 2**14
_KEPT = 1024  # quantiles of the largest statistic that stand for all points


@functools.cache
def _normal(dimension: int) -> np.ndarray:
    """Quasi-random points (POINTS, dimension) of the normal distribution, always the same."""
    from scipy.stats import qmc  # a second to import, and many results have no family

    shares = qmc.Sobol(dimension, seed=0).random(POINTS)
    return np.asarray(special.ndtri(np.clip(shares, 1e-12, 1 - 1e-12)))


def two_sided(statistic: float, freedom: float) -> float:
    """The two-sided p of a single t statistic with its degrees of freedom."""
    return 2 * float(special.stdtr(freedom, -abs(statistic)))


class Maximum:
    """The largest absolute value of correlated normal variables, by which t statistics are adjusted.

    Args:
        covariance: (k, k) of the variants' means.
        contrasts: (n, k), the differences of the family.
        sharing: models that share the level of the family with this one, this one included.
    """

    def __init__(self, covariance: np.ndarray, contrasts: np.ndarray, sharing: int = 1) -> None:
        self.count, self.sharing = len(contrasts), sharing
        values, vectors = np.linalg.eigh(covariance)
        root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T  # symmetric: no sign is left to the library
        of_contrasts = contrasts @ root
        length = np.sqrt((of_contrasts**2).sum(1))
        of_contrasts = of_contrasts[length > 1e-12] / length[length > 1e-12, None]
        if not len(of_contrasts):
            of_contrasts = np.eye(1, len(covariance))
        largest = np.sort(np.abs(_normal(len(covariance)) @ of_contrasts.T).max(1))
        self._quantiles: dict[tuple[float, float], float] = {}
        self._largest = largest.reshape(_KEPT, -1).mean(1)

    def p(self, statistic: float, freedom: float) -> float:
        """The adjusted two-sided p of a t statistic with its degrees of freedom."""
        if math.isnan(statistic) or math.isnan(freedom):
            return math.nan
        if math.isinf(statistic):
            return 0.0
        size = abs(statistic)
        beyond = single = two_sided(size, freedom)
        if self.count > 1 and size > 0:
            beyond = float(special.chdtr(freedom, freedom * (self._largest / size) ** 2).mean())
            beyond = min(max(beyond, single), self.count * single, 1.0)
        return -math.expm1(self.sharing * math.log1p(-beyond)) if beyond < 1 else 1.0

    def quantile(self, alpha: float, freedom: float) -> float:
        """The statistic whose adjusted p is `alpha`: half the width of an interval in standard errors."""
        if (alpha, freedom) not in self._quantiles:  # differences of equally many runs have equal degrees of freedom
            self._quantiles[alpha, freedom] = self._quantile(alpha, freedom)
        return self._quantiles[alpha, freedom]

    def _quantile(self, alpha: float, freedom: float) -> float:
        low = -float(special.stdtrit(freedom, alpha / 2))
        high = -float(special.stdtrit(freedom, alpha / (2 * self.count * self.sharing))) * (1 + 1e-9) + 1e-9
        if self.count * self.sharing == 1:
            return low
        return float(optimize.brentq(lambda q: self.p(q, freedom) - alpha, low * (1 - 1e-9), high, xtol=1e-6))

    def exceeded(self, statistic: float, alpha: float, freedom: float) -> bool:
        """Whether the adjusted p of a t statistic is below `alpha`, found by bounds of p where these suffice."""
        single = two_sided(statistic, freedom)
        if single >= alpha or self.count * self.sharing * single < alpha:
            return single < alpha
        return self.p(statistic, freedom) < alpha


def maxima(models: Sequence[Model], families: Sequence[Sequence[tuple[str, str]]]) -> list[Maximum | None]:
    """Distributions of the largest statistic over the pairs (variant, reference) of each model; None without pairs."""
    sharing = sum(bool(pairs) for pairs in families)
    return [
        Maximum(model.covariance, np.stack([model.contrast(*pair) for pair in pairs]), sharing) if pairs else None
        for model, pairs in zip(models, families, strict=True)
    ]
