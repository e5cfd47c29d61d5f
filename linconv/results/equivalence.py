"""Is a variant as accurate as the plain convolution? Paired t-tests of difference and of equivalence, over a family."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from linconv.results.statistics import Cell, Spread, spread

Outcome = Literal["equivalent", "different", "undecided", "n too small"]

MIN_PAIRS = 3  # two pairs leave one degree of freedom: the test has next to no power, and its assumptions no check
# Standard deviations below this are rounding of the stored numbers: one image of 50,000 is a step of 0.002 points.
NO_VARIANCE = 1e-5


class Comparison(NamedTuple):
    """A variant against the baseline, paired by seed: the differences, the tests and the outcome.

    `p_difference` is the two-sided paired t-test of a mean difference of 0, `p_equivalence` the larger of the two
    one-sided tests of a difference beyond the margin; `*_holm` are adjusted over the family. NaN where the tests do
    not exist: fewer than `MIN_PAIRS` pairs, or differences that are all equal (`no_variance`).
    `differs` says that 0 is rejected too, which an equivalent variant may as well: a difference that is real and small.
    """

    difference: Spread
    p_difference: float
    p_equivalence: float
    p_difference_holm: float
    p_equivalence_holm: float
    outcome: Outcome
    differs: bool
    no_variance: bool

    @property
    def text(self) -> str:
        """The outcome in words."""
        if self.outcome == "equivalent" and self.differs:
            return "equivalent, though different from 0"
        return "undecided (no variance)" if self.no_variance else self.outcome

    @property
    def mark(self) -> str:
        """The outcome as a sign behind a number: ≈ equivalent, ≠ different, ≈≠ both, ? undecided, nothing untested."""
        signs = {"equivalent": "≈≠" if self.differs else "≈", "different": "≠", "undecided": "?", "n too small": ""}
        return signs[self.outcome]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for testing all of them: significant at alpha where the adjusted one is at most alpha.

    NaN, a test that does not exist, stays and does not count. (scipy adjusts for the false discovery rate alone.)
    Source: Holm, Scand. J. Statist. 6 (1979), 65-70.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN comes last
    adjusted = np.full(len(p), math.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return [float(x) for x in adjusted]


def paired_tests(differences: Sequence[float], margin: float) -> tuple[float, float]:
    """p of the two-sided t-test of a mean of 0, and of the two one-sided tests (TOST) of a mean beyond ±margin.

    Args:
        differences: one per pair, percentage points; at least two that are not all equal.
        margin: the largest difference that does not matter, percentage points, above 0.

    Source: Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987), 657-680.
    """
    two_sided = stats.ttest_1samp(differences, 0.0).pvalue
    above = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
    return float(two_sided), float(max(above, below))


def compare_cells(cells: Iterable[Cell], *, margin: float, alpha: float) -> dict[tuple[str, str, str], Comparison]:
    """The comparison of every cell that has a baseline to compare with, by (data set, architecture, variant).

    The cells given are the family. Tests of difference and tests of equivalence are adjusted separately: the chance of
    one or more wrong "different" in a table is at most alpha, and so is that of one or more wrong "equivalent".

    Args:
        cells: of one table, the baseline's own among them or not.
        margin: of equivalence, percentage points.
        alpha: level of the tests; intervals have the confidence 1 - alpha, each on its own.
    """
    family = [cell for cell in cells if not cell.baseline]
    found = compare_family([cell.differences for cell in family], margin=margin, alpha=alpha)
    return {cell[:3]: comparison for cell, comparison in zip(family, found, strict=True)}


def compare_family(family: Sequence[Sequence[float]], *, margin: float, alpha: float) -> list[Comparison]:
    """The comparisons of a family, each given by its differences, one per pair in percentage points.

    Args:
        margin: of equivalence, percentage points.
        alpha: level of the tests, as in `compare_cells`.
    """
    flat = [len(values) >= MIN_PAIRS and spread(values).sd < NO_VARIANCE for values in family]
    tests = [
        (math.nan, math.nan) if len(values) < MIN_PAIRS or same else paired_tests(values, margin)
        for values, same in zip(family, flat, strict=True)
    ]
    p_difference, p_equivalence = [t[0] for t in tests], [t[1] for t in tests]
    out = []
    adjusted = zip(holm(p_difference), holm(p_equivalence), strict=True)
    for values, same, raw, (holm_difference, holm_equivalence) in zip(family, flat, tests, adjusted, strict=True):
        differs, equivalent = holm_difference <= alpha, holm_equivalence <= alpha  # NaN is neither
        outcome: Outcome = "equivalent" if equivalent else "different" if differs else "undecided"
        if len(values) < MIN_PAIRS:
            outcome = "n too small"
        difference = spread(values, level=1 - alpha)
        out.append(Comparison(difference, *raw, holm_difference, holm_equivalence, outcome, differs, same))
    return out
