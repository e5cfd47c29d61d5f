"""One model for the accuracies of a network on a data set: variants fixed, seeds and test images crossed with them.

The accuracy of variant v with seed s on image i is

    variant[v] + seed[s] + image[i] + (variant x seed)[v, s] + (variant x image)[v, i] + rest[v, s, i].

Differences of variants keep the parts that a variant has of its own. The variance of (variant x seed) is pooled over
the variants: most of them spread alike, and three seeds of one variant alone leave two degrees of freedom. A variant
that spreads more is set apart by Cochran's test and keeps its own variance. The images' part is taken from the outcomes
of the images; without outcomes it is bounded, as if the networks failed on images independently of each other. Networks
fail on the same hard images, so the bound is wide.

Over several splits of the data, a split takes the place of the images: see `linconv.statistics.fitting`.

Sources: Scheffe, The Analysis of Variance, 1959, ch. 4 and 8 (crossed layouts); Cochran, Annals of Eugenics 11 (1941),
47-52 (the largest of several variances); Satterthwaite, Biometrics Bulletin 2 (1946), 110-114 (degrees of freedom).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from linconv.statistics.spread import accuracy_interval

ImageVariance = Literal["measured", "bounded", "unknown", "splits"]
MOST_FREEDOM = 1e6  # degrees of freedom above which a t distribution is the normal one


class CovariancePart(NamedTuple):
    """A part of the covariance (k, k) of the variants' means, squared points, estimated with `freedom`.

    `sign` is -1 for what two other parts both contain.
    """

    source: Literal["seeds", "images", "splits", "rest"]
    covariance: np.ndarray
    freedom: float
    sign: int = 1


class Error(NamedTuple):
    """The standard error of a difference in points, its degrees of freedom, and what each source alone would give.

    Over several splits of the data, `images` is what splits add to the seeds: other test images, other training sets.
    """

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
        images: how the images' part is known; "splits": by several splits of the data.
        count: test images, over several splits the images that these draw from; None if not known.
        splits: (J, k) bool, which variants have a run on which of several splits; None without several splits.
    """

    variants: tuple[str, ...]
    means: np.ndarray
    runs: np.ndarray
    parts: tuple[CovariancePart, ...]
    alone: tuple[np.ndarray, np.ndarray]
    residual: float
    freedom: float
    apart: tuple[str, ...]
    images: ImageVariance
    count: int | None
    splits: np.ndarray | None = None

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
        more = {"seeds": seeds_more, "images": 1.0, "splits": 1.0, "rest": 1.0}
        values = [(p, v / more[p.source], min(MOST_FREEDOM, p.freedom * more[p.source])) for p, v in found]
        of = {source: sum(v for p, v, _ in values if p.source == source) for source in more}
        # what images do to a mean of any number of runs, and to this one
        of["images"] = max(0.0, of["images"] + of["splits"] - of["rest"] * (1 - 1 / seeds_more))
        variance = max(sum(p.sign * v for p, v, _ in values), of["seeds"] / 2, of["images"] / 2)
        weighed = sum(v**2 / f for _, v, f in values if v > 0)
        freedom = min(MOST_FREEDOM, variance**2 / weighed) if weighed > 0 else math.nan
        return Error(math.sqrt(variance), freedom, math.sqrt(of["seeds"]), math.sqrt(of["images"]))

    def common_splits(self, variant: str, reference: str) -> int | None:
        """How many splits of the data both variants have; None without several splits."""
        if self.splits is None:
            return None
        i, j = self.variants.index(variant), self.variants.index(reference)
        return int((self.splits[:, i] & self.splits[:, j]).sum())

    @property
    def seeds_told_apart(self) -> bool:
        """Whether the part of the seeds is known beside that of the splits: not with one seed on each split."""
        return any(part.source == "seeds" and part.freedom > 0 for part in self.parts)

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
