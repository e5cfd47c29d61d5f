"""An interval for a difference of accuracies that counts both sources of noise: the seeds and the test images.

Every seed is evaluated on the same images, so the scores are a two-way table, seeds by images, both drawn at random.
The variance of its mean has a part of the seeds and a part of the images; the part of a single score is in both and is
taken off once. Degrees of freedom by Satterthwaite (1946), Biometrics Bulletin 2(6).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats


class CrossedInterval(NamedTuple):
    """A mean and its confidence interval; `seed_error` and `image_error` are the standard errors of the two sources."""

    mean: float
    low: float
    high: float
    seed_error: float
    image_error: float


def crossed_interval(scores: np.ndarray, level: float = 0.95) -> CrossedInterval:
    """The interval of the mean of a table, for other seeds and other images of the same kind.

    Args:
        scores: (seeds, images), such as right or not of one variant minus the other's.
        level: of confidence.

    Raises:
        ValueError: fewer than two seeds or two images, or a value that is not finite.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or min(scores.shape) < 2 or not np.isfinite(scores).all():
        raise ValueError(f"finite scores of at least two seeds and two images expected, not {scores.shape}")
    seeds, images = scores.shape
    mean, by_seed, by_image = scores.mean(), scores.mean(1), scores.mean(0)
    rest = scores - by_seed[:, None] - by_image[None, :] + mean
    of_seeds, of_images = by_seed.var(ddof=1) / seeds, by_image.var(ddof=1) / images
    freedom_of_rest = (seeds - 1) * (images - 1)
    of_rest = (rest**2).sum() / freedom_of_rest / (seeds * images)
    # the estimate of a variance can be negative; the mean cannot vary less than by its larger source
    variance = max(of_seeds + of_images - of_rest, of_seeds, of_images)
    spread = 0.0
    if variance > 0:
        weights = of_seeds**2 / (seeds - 1) + of_images**2 / (images - 1) + of_rest**2 / freedom_of_rest
        spread = stats.t.ppf((1 + level) / 2, variance**2 / weights) * variance**0.5
    return CrossedInterval(mean, mean - spread, mean + spread, of_seeds**0.5, of_images**0.5)
