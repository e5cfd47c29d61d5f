"""McNemar's test over several pairs and Holm's adjustment."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from linconv.statistics import holm, mcnemar, mcnemar_over_pairs


def test_one_pair_over_pairs_is_mcnemars_test_without_correction():
    rng = np.random.default_rng(0)
    first, second = rng.random(2000) < 0.9, rng.random(2000) < 0.87
    single, over = mcnemar(first, second), mcnemar_over_pairs(first[None], second[None])
    assert over[:2] == single[:2]
    z = (over.first - over.second) / (over.first + over.second) ** 0.5
    assert over.p == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_the_same_pair_again_is_no_more_evidence():
    rng = np.random.default_rng(1)
    first, second = rng.random(500) < 0.9, rng.random(500) < 0.85
    once = mcnemar_over_pairs(first[None], second[None])
    thrice = mcnemar_over_pairs(np.stack([first] * 3), np.stack([second] * 3))
    assert thrice.p == pytest.approx(once.p)
    assert thrice[:2] == (3 * once.first, 3 * once.second)


def test_the_level_holds_where_all_runs_fail_on_the_same_images():
    """Equal methods whose runs share hard images: a binomial test of the sums would be wrong more often."""
    rng = np.random.default_rng(2)
    wrong, naive = 0, 0
    for _ in range(400):
        # each method fails on images of its own, whatever the seed
        chance = np.where(rng.random((2, 1, 1000)) < 0.05, 0.9, 0.02)
        first, second = rng.random((2, 4, 1000)) >= chance
        found = mcnemar_over_pairs(first, second)
        wrong += found.p <= 0.05
        naive += stats.binomtest(found.first, found.first + found.second).pvalue <= 0.05
    assert wrong / 400 <= 0.085  # 0.05 and three standard errors
    assert naive / 400 > 0.15


def test_nothing_differs_or_does_not_fit():
    same = np.ones((2, 9), dtype=bool)
    assert mcnemar_over_pairs(same, same) == (0, 0, 1.0)
    with pytest.raises(ValueError, match="the same runs and images"):
        mcnemar_over_pairs(same, same[:1])


def test_holm_is_in_the_order_given_and_never_falls():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
