"""McNemar's test of two networks by the images that only one of them classifies rightly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats


class McNemar(NamedTuple):
    """Images that only the first and only the second of two networks classifies rightly, and the exact two-sided p."""

    first: int
    second: int
    p: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """Compare two trained networks on one test set: these two runs, not the methods that trained them.

    Args:
        first, second: bool (images,), right or not, of the same images in the same order.

    Raises:
        ValueError: the two have not the same number of images.

    Source: McNemar, Psychometrika 12 (1947), 153-157, by the binomial distribution.
    """
    if first.shape != second.shape:
        raise ValueError(f"outcomes of the same images expected, not of {first.shape} and {second.shape}")
    one, other = int((first & ~second).sum()), int((second & ~first).sum())
    p = float(stats.binomtest(one, one + other).pvalue) if one + other else 1.0
    return McNemar(one, other, p)
