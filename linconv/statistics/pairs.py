"""McNemar's test of two networks by the images that only one of them classifies rightly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special


class McNemar(NamedTuple):
    """Images that only the first and only the second of two networks classifies rightly, and the two-sided p.

    Of several pairs `first` and `second` are sums over the pairs.
    """

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
    p = min(1.0, 2 * float(special.bdtr(min(one, other), one + other, 0.5)))
    return McNemar(one, other, p)


def mcnemar_over_pairs(first: np.ndarray, second: np.ndarray) -> McNemar:
    """Compare several pairs of networks on one test set, the images counting once however many pairs see them.

    The sums over the pairs are no binomial counts: networks fail on the same images. Each image gives the difference of
    its two counts, and the sum of these is divided by its standard error over other images. It holds for these trained
    networks; that other seeds would give others is not in it.

    Args:
        first, second: bool (pairs, images), right or not.

    Raises:
        ValueError: the two have not the same shape.

    Source: Durkalski, Palesch, Lipsitz & Rust, Statistics in Medicine 22 (2003), 2417-2428.
    """
    if first.shape != second.shape:
        raise ValueError(f"outcomes of the same runs and images expected, not of {first.shape} and {second.shape}")
    one, other = first & ~second, second & ~first
    by_image = one.sum(0) - other.sum(0)
    squares = int((by_image**2).sum())
    p = 2 * float(special.ndtr(-abs(int(by_image.sum())) / squares**0.5)) if squares else 1.0
    return McNemar(int(one.sum()), int(other.sum()), p)


def holm(values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in the order given.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    p = np.asarray(values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return [float(value) for value in adjusted]
