"""Comparisons with the baseline against numbers worked out by hand and printed in books."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from linconv.results.equivalence import compare_cells, holm, paired_tests
from linconv.results.statistics import Cell, spread

SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]  # Student (1908): hours of sleep gained, drug 2 minus drug 1


def cell(variant, differences, baseline=False):
    nothing = spread([])
    found = spread(differences)
    return Cell("d", "a", variant, len(differences), 0, 0, nothing, found, tuple(differences), baseline)


def compare(margin=1.0, alpha=0.05, **variants):
    found = compare_cells([cell(v, d) for v, d in variants.items()], margin=margin, alpha=alpha)
    return {at[2]: comparison for at, comparison in found.items()}


def test_students_sleep_data():
    # The textbook example of the paired t-test: mean 1.58, t = 4.0621 with 9 degrees of freedom, p = 0.002833,
    # 95 % interval 0.70 to 2.46.
    p, _ = paired_tests(SLEEP, margin=1.0)
    assert p == pytest.approx(0.002833, abs=1e-6)
    found = spread(SLEEP)
    assert (found.mean, found.low, found.high) == pytest.approx((1.58, 0.7001142, 2.4598858), abs=1e-6)


def test_three_differences_by_hand():
    # Differences -0.2, 0, 0.2: mean 0, sd 0.2, standard error 0.2 / sqrt(3) = 0.1154701, 2 degrees of freedom.
    # t of 0 is 0: p = 1. Both one-sided tests have t = 1 / 0.1154701 = 8.660254; with 2 degrees of freedom
    # P(T > t) = 1/2 - t / (2 sqrt(t^2 + 2)) = 1/2 - 8.660254 / (2 sqrt(77)) = 0.0065362.
    p_difference, p_equivalence = paired_tests([-0.2, 0.0, 0.2], margin=1.0)
    assert p_difference == pytest.approx(1)
    assert p_equivalence == pytest.approx(0.5 - 8.660254037844386 / (2 * math.sqrt(77)), rel=1e-9)
    assert p_equivalence == pytest.approx(0.0065362, abs=1e-6)


def test_the_worse_of_the_two_one_sided_tests_counts():
    # Differences 0.5, 0.7, 0.9: mean 0.7, standard error 0.1154701. Towards +1 t = 0.3 / 0.1154701 = 2.598076 and
    # P = 1/2 - 2.598076 / (2 sqrt(2.598076^2 + 2)) = 0.0608409; towards -1 t = 14.7, far smaller.
    t = 0.3 / (0.2 / math.sqrt(3))
    assert paired_tests([0.5, 0.7, 0.9], margin=1.0)[1] == pytest.approx(0.5 - t / (2 * math.sqrt(t * t + 2)), rel=1e-9)


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04; never below the one before: 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
    adjusted = holm([0.02, math.nan, 0.04])
    assert adjusted[0::2] == pytest.approx([0.04, 0.04])
    assert math.isnan(adjusted[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms())
def test_holm_lies_between_no_adjustment_and_bonferronis(p_values, random):
    adjusted = holm(p_values)
    for raw, p in zip(p_values, adjusted, strict=True):
        assert raw <= p <= min(1, len(p_values) * raw)
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[i] for i in order]) == [adjusted[i] for i in order]


DIFFERENCES = st.lists(st.integers(-500, 500).map(lambda n: n / 100), min_size=3, max_size=8).filter(
    lambda x: np.std(x) > 1e-3
)


@given(DIFFERENCES, st.floats(0.1, 5))
def test_tost_rejects_where_the_narrower_interval_lies_within_the_margin(differences, margin):
    """The two formulations of the test: at 5 %, the 90 % interval of the mean."""
    p = paired_tests(differences, margin)[1]
    low, high = stats.t.interval(0.90, len(differences) - 1, np.mean(differences), stats.sem(differences))
    if min(abs(low + margin), abs(high - margin)) > 1e-9:
        assert (p < 0.05) == (-margin < low and high < margin)
    assert paired_tests([-d for d in differences], margin) == pytest.approx(paired_tests(differences, margin))


@pytest.mark.parametrize(
    ("differences", "outcome", "differs", "mark"),
    [
        ([-0.2, 0.0, 0.2], "equivalent", False, "≈"),
        ([0.30, 0.31, 0.32], "equivalent", True, "≈≠"),  # real and small
        ([-3.0, -3.1, -2.9], "different", True, "≠"),
        ([-3.0, 0.5, 2.0], "undecided", False, "?"),
        ([-3.0, -3.1], "n too small", False, ""),
        ([], "n too small", False, ""),
        ([0.0, 0.0, 0.0], "undecided", False, "?"),
        ([5.0, 5.0, 5.0], "undecided", False, "?"),
        ([0.0, 1e-14, -1e-14], "undecided", False, "?"),
    ],
)
def test_outcomes(differences, outcome, differs, mark):
    found = compare(L=differences)["L"]
    assert (found.outcome, found.differs, found.mark) == (outcome, differs, mark)
    flat = len(differences) > 2 and np.std(differences) < 1e-9
    assert found.no_variance == flat
    assert math.isnan(found.p_difference) == (flat or len(differences) < 3)
    assert found.text == {"≈≠": "equivalent, though different from 0"}.get(mark, outcome) + " (no variance)" * int(flat)


def test_more_tests_ask_for_more_evidence():
    # -0.4, 0, 0.4: t = 1 / (0.4 / sqrt(3)) = 4.330127, P = 1/2 - 4.330127 / (2 sqrt(20.75)) = 0.0247008 (as above):
    # equivalent alone, not among two that are no better, and again where the other has no test.
    spreads = [-0.4, 0.0, 0.4]
    assert compare(L=spreads)["L"].p_equivalence == pytest.approx(0.0247, abs=1e-4)
    assert compare(L=spreads)["L"].outcome == "equivalent"
    pair = compare(L=spreads, Lr=spreads)
    assert pair["L"].p_equivalence_holm == pytest.approx(2 * 0.0247, abs=2e-4)
    assert pair["L"].outcome == "equivalent"
    assert compare(L=spreads, Lr=spreads, LRr=spreads)["L"].outcome == "undecided"
    assert compare(L=spreads, Lr=[0.0, 0.0, 0.0], LRr=[1.0])["L"].outcome == "equivalent"


def test_margin_and_level_are_those_asked_for():
    assert compare(margin=0.1, L=[-0.2, 0.0, 0.2])["L"].outcome == "undecided"
    assert compare(alpha=0.001, L=[-0.2, 0.0, 0.2])["L"].outcome == "undecided"
    # t(0.995, 2) = 9.924843
    found = compare(alpha=0.01, L=[-0.2, 0.0, 0.2])["L"].difference
    assert found.high == pytest.approx(9.924843 * 0.2 / math.sqrt(3), abs=1e-6)


def test_the_baseline_is_not_compared_with_itself():
    cells = [cell("conv", [], baseline=True), cell("L", [-0.2, 0.0, 0.2])]
    assert list(compare_cells(cells, margin=1, alpha=0.05)) == [("d", "a", "L")]
