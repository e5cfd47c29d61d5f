"""How often a table decides, computed exactly: the chance of each verdict, given the truth, the spreads and the seeds.

The difference of two means is normal about the truth; the variance of the seeds is estimated, with the degrees of
freedom of the table's model, and the images' part is taken as known. An interval of `quantile` standard errors decides.

Source: Phillips, J. Pharmacokinet. Biopharm. 18 (1990), 137-144 (power of the two one-sided tests); with no part of the
images the chance of "different" is that of the noncentral t distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from linconv.statistics.family import Maximum

_NODES = 200  # of the quadrature over the estimated variance


@dataclass(frozen=True)
class Design:
    """A table to plan: one network on a data set.

    Args:
        variants: beside the plain network, all compared with it as one family.
        seeds: runs of each.
        deviation: standard deviation of a run about its variant's and its seed's mean, in points; tables print it.
        margin: of equivalence, in points.
        image_error: standard error of a difference from the test images alone, in points.
        alpha: level of the family.
    """

    variants: int
    seeds: int
    deviation: float
    margin: float
    image_error: float = 0.0
    alpha: float = 0.05

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the pooled variance: (variants + 1 - 1) (seeds - 1)."""
        return float(self.variants * (self.seeds - 1))


@dataclass(frozen=True)
class Chances:
    """Chances of the verdicts on one comparison; the two that show a difference are not exclusive with equivalence."""

    different: float
    equivalent: float
    undecided: float


def chances(design: Design, difference: float) -> Chances:
    """The chances of the verdicts on one variant whose true difference is given, in points.

    Raises:
        ValueError: fewer than two seeds, or a deviation that is not positive.
    """
    if design.seeds < 2 or design.deviation <= 0:
        raise ValueError(f"two seeds and a positive deviation are needed, not {design.seeds} and {design.deviation:g}")
    of_seeds = 2 * design.deviation**2 / design.seeds
    true_error = math.hypot(math.sqrt(of_seeds), design.image_error)
    contrasts = np.c_[-np.ones(design.variants), np.eye(design.variants)]
    maximum = Maximum(np.eye(design.variants + 1), contrasts)
    shares = (np.arange(_NODES) + 0.5) / _NODES  # of the chi-square distribution of the estimated variance
    estimated = of_seeds * 2 * special.gammaincinv(design.freedom / 2, shares) / design.freedom
    halves = np.array([_half(design, maximum, value) for value in estimated])

    def within(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        below_high, below_low = (special.ndtr((bound - difference) / true_error) for bound in (high, low))
        return np.maximum(0.0, below_high - below_low)

    room = design.margin - halves
    equivalent = within(-room, room)
    covers_zero = within(-halves, halves)
    both = within(-np.minimum(room, halves), np.minimum(room, halves)) * (room > 0)
    undecided = covers_zero - both
    return Chances(float(1 - covers_zero.mean()), float(equivalent.mean()), float(undecided.mean()))


def _half(design: Design, maximum: Maximum, of_seeds: float) -> float:
    """Half the width of the interval for an estimated variance of the seeds, by Satterthwaite's degrees of freedom."""
    variance = of_seeds + design.image_error**2
    freedom = min(1e6, variance**2 / (of_seeds**2 / design.freedom)) if of_seeds > 0 else 1e6
    return maximum.quantile(design.alpha, freedom) * math.sqrt(variance)
