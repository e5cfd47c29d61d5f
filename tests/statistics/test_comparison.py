"""Simultaneous comparisons: scipy's Dunnett, Tukey and multivariate t, and interval and verdict that agree."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from linconv.report.verdicts import open_notes
from linconv.statistics import Margin, compare, differing, fit, hypotheses, mcnemar, open_verdicts
from linconv.statistics.family import Maximum

PLACE = ("d", "n")


def compared(table: pd.DataFrame, margin: float = 1.0, error: float = 5.0, alpha: float = 0.05, images=None):
    model = fit(table, images=images)
    pairs = [(PLACE, (str(v), "a")) for v in table if v != "a"]
    found = compare({PLACE: model}, pairs, {PLACE: Margin(margin, error)}, alpha)
    return {pair[0]: comparison for (_, pair), comparison in found.items()}


def table(**offsets: float) -> pd.DataFrame:
    """Five seeds; residuals of every variant are a cyclic shift of the same five values."""
    noise = 0.1 * np.array([-1.0, 0.5, 0.0, 1.0, -0.5])
    values = {v: 95 + offset + np.roll(noise, i) for i, (v, offset) in enumerate(({"a": 0.0} | offsets).items())}
    return pd.DataFrame(values)


@pytest.mark.parametrize("variants", [3, 7, 20])
def test_comparisons_with_a_control_are_dunnetts(variants):
    """`scipy.stats.dunnett` has no seeds to cross with, so its statistics and degrees of freedom are taken over."""
    rng = np.random.default_rng(variants)
    groups = rng.normal(0, 1, (variants, 5)) + np.linspace(0, 2, variants)[:, None]
    wanted = stats.dunnett(*groups[1:], control=groups[0], rng=np.random.default_rng(0))
    contrasts = np.c_[-np.ones(variants - 1), np.eye(variants - 1)]
    maximum = Maximum(np.eye(variants), contrasts)
    freedom = 4 * variants
    for statistic, p in zip(wanted.statistic, wanted.pvalue, strict=True):
        assert maximum.p(statistic, freedom) == pytest.approx(p, abs=2e-3)


def test_all_pairs_are_tukeys():
    contrasts = np.array([[(v == i) - (v == j) for v in range(5)] for i in range(5) for j in range(i)], dtype=float)
    found = Maximum(np.eye(5), contrasts).quantile(0.05, 20)
    assert found == pytest.approx(stats.studentized_range.ppf(0.95, 5, 20) / 2**0.5, abs=0.01)


def test_any_correlation_is_the_multivariate_t():
    covariance = np.array([[1.0, 0.3, 0.1], [0.3, 2.0, 0.2], [0.1, 0.2, 0.5]])
    contrasts = np.array([[-1.0, 1, 0], [-1, 0, 1]])
    of_contrasts = contrasts @ covariance @ contrasts.T
    scale = np.sqrt(np.diag(of_contrasts))
    exact = stats.multivariate_t(shape=of_contrasts / np.outer(scale, scale), df=7)
    wanted = 1 - exact.cdf([2.5, 2.5], lower_limit=[-2.5, -2.5], random_state=0)
    assert Maximum(covariance, contrasts).p(2.5, 7) == pytest.approx(wanted, abs=1e-3)


def test_one_comparison_is_not_adjusted():
    found = compared(table(b=0.05))["b"]
    assert found.p_adjusted == pytest.approx(found.p)


def test_a_family_over_several_networks_shares_its_level():
    model = fit(table(b=0.2, c=0.0))
    places = [("d", "n"), ("d", "m")]
    margins = dict.fromkeys(places, Margin(1.0, 5.0))
    pairs = [(place, (v, "a")) for place in places for v in "bc"]
    both = compare(dict.fromkeys(places, model), pairs, margins, 0.05)
    one = compare({PLACE: model}, pairs[:2], margins, 0.05)
    p = one[PLACE, ("b", "a")].p_adjusted
    assert both[PLACE, ("b", "a")].p_adjusted == pytest.approx(1 - (1 - p) ** 2)
    assert hypotheses(both) == 4


def test_a_hypothesis_is_tested_once():
    model = fit(table(b=0.2, c=0.0))
    margin = {PLACE: Margin(1.0, 5.0)}
    once = compare({PLACE: model}, [(PLACE, ("b", "a"))], margin, 0.05)
    twice = compare({PLACE: model}, [(PLACE, ("b", "a")), (PLACE, ("a", "b"))], margin, 0.05)
    assert hypotheses(once) == hypotheses(twice) == 1
    forth, back = twice[PLACE, ("b", "a")], twice[PLACE, ("a", "b")]
    assert forth == once[PLACE, ("b", "a")]
    assert (back.low, back.high, back.p_adjusted) == (-forth.high, -forth.low, forth.p_adjusted)


OFFSETS = st.lists(st.floats(-2, 2), min_size=2, max_size=4)


@settings(deadline=None, max_examples=50)
@given(OFFSETS, st.floats(0.05, 3), st.sampled_from([0.01, 0.05, 0.2]))
def test_interval_p_and_verdict_agree(offsets, margin, alpha):
    found = compared(table(**dict(zip("bcde", offsets, strict=False))), margin, alpha=alpha)
    for c in found.values():
        distance = min(abs(c.low), abs(c.high), abs(abs(c.low) - margin), abs(abs(c.high) - margin))
        if distance < 1e-3:  # the quantile is found to 1e-6 standard errors
            continue
        assert c.differs == (c.low > 0 or c.high < 0) == (c.p_adjusted <= alpha)
        within = -margin < c.low and c.high < margin
        assert (c.outcome == "equivalent") == within == (c.p_equivalence <= alpha)
        assert sum(c.probabilities) == pytest.approx(1)
        assert c.p <= c.p_adjusted <= len(found) * c.p + 1e-12


@pytest.mark.parametrize(
    ("offset", "margin", "outcome", "differs", "mark"),
    [
        (0.0, 1.0, "equivalent", False, "≈"),
        (0.4, 1.0, "equivalent", True, "≈≠"),
        (-3.0, 1.0, "different", True, "≠"),
        (0.0, 0.1, "undecided", False, "?"),
    ],
)
def test_outcomes(offset, margin, outcome, differs, mark):
    found = compared(table(b=offset, c=0.0), margin)["b"]
    assert (found.outcome, found.differs, found.mark) == (outcome, differs, mark)


@pytest.mark.parametrize(("error", "outcome"), [(1.01, "equivalent"), (1.0, "undecided"), (0.0, "undecided")])
def test_nothing_is_equivalent_within_a_margin_that_reaches_the_error(error, outcome):
    assert compared(table(b=0.0, c=0.0), margin=1.0, error=error)["b"].outcome == outcome


def test_too_few_runs_are_not_tested():
    found = compared(table(b=-3.0, c=0.0).iloc[:2])["b"]
    assert (found.outcome, found.runs, found.tested) == ("n too small", 2, False)
    assert math.isnan(found.low)
    nothing = compare({PLACE: fit(table(b=0.0))}, [(PLACE, ("x", "a"))], {PLACE: Margin(1, 5)}, 0.05)
    assert nothing[PLACE, ("x", "a")].outcome == "n too small"


def test_nothing_is_decided_where_nothing_varies():
    flat = pd.DataFrame({"a": [95.0] * 3, "b": [96.0] * 3, "c": [95.0] * 3})
    found = compared(flat)["b"]
    assert (found.outcome, found.text, found.no_variance) == ("undecided", "undecided (no variance)", True)
    # the images vary: without outcomes their part is bounded
    assert compared(flat, images=10_000)["b"].tested


def test_probabilities_by_hand():
    # five seeds, two variants: differences -0.15, 0.1, ... ; mean 0.05, t with 4 degrees of freedom
    data = table(b=0.05)
    differences = data["b"] - data["a"]
    found = compared(data, margin=0.1)["b"]
    t = stats.t(4, loc=differences.mean(), scale=stats.sem(differences))
    assert found.probabilities == pytest.approx((t.cdf(-0.1), t.cdf(0.1) - t.cdf(-0.1), t.sf(0.1)))


def test_the_seeds_that_would_decide():
    found = compared(table(b=0.06, c=0.0), margin=0.07)["b"]
    assert found.outcome == "undecided"
    wide = pd.concat([table(b=0.06, c=0.0)] * math.ceil(found.seeds_needed / 5), ignore_index=True)
    assert compared(wide, margin=0.07)["b"].outcome == "different"
    assert found.seeds_needed > 5
    # no number of seeds takes off the noise of 400 test images
    hopeless = compared(table(b=0.06, c=0.0), margin=0.07, images=400)["b"]
    assert (hopeless.seeds_needed, hopeless.limit, found.limit) == (None, "bound", "")
    assert open_verdicts([found, hopeless]) == (2, 1, found.seeds_needed)


PAIR = (PLACE, ("b", "a"))


@pytest.mark.parametrize(
    ("model", "margin", "limit", "said"),
    [
        (fit(table(b=0.0), images=400), Margin(0.1, 5.0), "bound", "seeds decides any of them: without the outcome"),
        (fit(table(b=0.0), images=400), Margin(5.0, 5.0), "margin", "the margin reaches Conv's error"),
        (fit(table(b=0.0)), Margin(5.0, 5.0), "margin", "the margin reaches Conv's error"),
        (fit(table(b=0.004)), Margin(5.0, 5.0), "runs", "More than 1,000 seeds each are needed for any of them"),
        (
            fit(
                table(b=0.0),
                {
                    (v, s): np.random.default_rng([s, i]).random(400) < 0.95
                    for s in range(5)
                    for i, v in enumerate("ab")
                },
            ),
            Margin(0.1, 5.0),
            "images",
            "the test set is too small",
        ),
        (
            fit(
                pd.concat({j: table(b=0.0) + 0.5 * np.array([0, (j - 1) * (j + 1)]) for j in range(-1, 2)}),
                None,
                400,
                0.2,
            ),
            Margin(0.1, 5.0),
            "splits",
            "No number of runs on these splits decides any of them: the splits of the data are too few",
        ),
    ],
    ids=["bound", "margin over images", "margin alone", "too many", "images", "splits"],
)
def test_a_verdict_that_no_number_of_runs_decides_says_why(model, margin, limit, said):
    found = compare({PLACE: model}, [PAIR], {PLACE: margin}, 0.05)[PAIR]
    assert (found.outcome, found.seeds_needed, found.limit) == ("undecided", None, limit)
    (note,) = open_notes([found])
    assert said in note


def test_over_splits_the_runs_that_would_decide_are_no_seeds():
    by_split = pd.concat({j: table(b=0.06) + 0.001 * j for j in range(4)})
    found = compare({PLACE: fit(by_split, None, 4000, 0.2)}, [PAIR], {PLACE: Margin(0.062, 5.0)}, 0.05)[PAIR]
    assert found.outcome == "undecided"
    (note,) = open_notes([found])
    assert "runs each would decide 1" in note
    assert "seeds" not in note


def test_mcnemar_by_hand():
    first, second = np.zeros(20, dtype=bool), np.zeros(20, dtype=bool)
    first[:6], second[5:6] = True, True
    assert mcnemar(first, second) == (5, 0, pytest.approx(2 / 2**5))
    assert mcnemar(first, first) == (0, 0, 1.0)
    with pytest.raises(ValueError, match="same images"):
        mcnemar(first, second[:5])


def test_bounds_of_p_do_not_change_what_is_found():
    """`exceeded` says what p says, and mostly without the distribution of the largest statistic."""
    maximum = Maximum(np.eye(6), np.c_[-np.ones(5), np.eye(5)], sharing=2)
    for freedom in (1.5, 4.0, 60.0, 1e6):
        for statistic in np.linspace(-8, 8, 81):
            assert maximum.exceeded(statistic, 0.05, freedom) == (maximum.p(statistic, freedom) < 0.05)


def test_pairs_that_differ_are_those_whose_interval_excludes_0():
    model = fit(table(b=0.05, c=-0.3, d=2.0, e=0.0), images=10_000)
    pairs = list(itertools.combinations("abcde", 2))
    found = compare({PLACE: model}, [(PLACE, pair) for pair in pairs], {PLACE: Margin(1.0, 5.0)}, 0.05)
    expected = {pair: found[PLACE, pair].mean for pair in pairs if found[PLACE, pair].differs}
    assert 0 < len(expected) < len(pairs)
    assert differing(model, pairs, 0.05) == pytest.approx(expected)


def test_one_quantile_for_differences_of_equal_freedom(monkeypatch):
    """Five differences of equally many runs: one search for a quantile, and none where no seeds are missing."""
    searches = []
    search = optimize.brentq
    monkeypatch.setattr(optimize, "brentq", lambda *args, **options: searches.append(1) or search(*args, **options))
    found = compared(table(b=0.05, c=-0.3, d=2.0, e=0.0))
    assert {c.error.freedom for c in found.values()} == {16.0}
    assert len(searches) == 1


@pytest.mark.parametrize("offset", [0.1, 0.13, 0.2])
def test_the_seeds_needed_are_the_fewest_that_decide(offset):
    model = fit(table(b=offset, c=0.0))
    margin = Margin(0.12, 5.0)
    pairs = [(PLACE, ("b", "a")), (PLACE, ("c", "a"))]
    found = compare({PLACE: model}, pairs, {PLACE: margin}, 0.05)[pairs[0]]
    weights = model.contrast("b", "a")
    maximum = Maximum(model.covariance, np.stack([weights, model.contrast("c", "a")]))

    def decides(seeds: int) -> bool:
        error = model.error(weights, seeds / found.runs)
        half = maximum.quantile(0.05, error.freedom) * error.total
        return half < max(found.mean, margin.points - found.mean)

    assert found.seeds_needed == next(seeds for seeds in range(found.runs, 1000) if decides(seeds))
