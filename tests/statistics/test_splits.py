"""The model over several splits of the data: Nadeau and Bengio's variance, the seeds' part, coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.coverage import SETTINGS, simulate
from linconv.statistics import Margin, compare, fit

TESTED = 0.2


def table(splits: int, seeds: int, *, of_splits: float, of_seeds: float, start: int = 0) -> pd.DataFrame:
    """Accuracies of three variants whose truth is 90, with independent noise of both sources in points."""
    rng = np.random.default_rng(start)
    shape = (splits, 1, 3)
    values = 90 + of_splits * rng.standard_normal(shape) + of_seeds * rng.standard_normal((splits, seeds, 3))
    index = pd.MultiIndex.from_product([range(splits), range(seeds)], names=["split", "seed"])
    return pd.DataFrame(values.reshape(-1, 3), index=index, columns=["conv", "a", "b"])


def test_one_seed_a_split_gives_the_corrected_resampled_t_test():
    scores = table(5, 1, of_splits=0.5, of_seeds=0.2)[["conv", "a"]]
    model = fit(scores, None, 1000, TESTED)
    error = model.error(model.contrast("a", "conv"))
    differences = scores["a"] - scores["conv"]
    assert error.total**2 == pytest.approx(differences.var() * (1 / 5 + 0.2 / 0.8))
    assert error.freedom == pytest.approx(4)
    assert error.seeds == 0
    assert model.images == "splits"
    assert model.count == 1000


def test_the_noise_of_the_seeds_is_not_widened():
    """With seeds alone, which no two splits share, the error is that of so many independent runs, not above."""
    errors = [fit(table(5, 4, of_splits=0, of_seeds=0.4, start=i), None, 1000, TESTED) for i in range(40)]
    found = [m.error(m.contrast("a", "conv")) for m in errors]
    alone = (2 * 0.4**2 / 20) ** 0.5
    assert np.mean([e.seeds for e in found]) == pytest.approx(
        alone, rel=0.08
    )  # two standard errors of 40 tables are 4 %
    assert np.median([e.total for e in found]) == pytest.approx(alone, rel=0.3)
    assert np.mean([m.residual for m in errors]) == pytest.approx(0.4, rel=0.08)


def test_splits_whose_part_is_held_at_0_still_limit_the_freedom():
    """Of two variants on 3 splits: 2 degrees of freedom, not the 12 of four seeds within each."""
    models = [
        fit(table(3, 4, of_splits=0, of_seeds=0.4, start=i)[["conv", "a"]], None, 1000, TESTED) for i in range(20)
    ]
    errors = [m.error(m.contrast("a", "conv")) for m in models]
    held = [e.freedom for e in errors if e.images == 0]
    assert 3 <= len(held) < 20
    assert held == pytest.approx([2] * len(held))


def test_more_seeds_on_the_same_splits_leave_what_splits_do():
    model = fit(table(5, 2, of_splits=0.5, of_seeds=0.2), None, 1000, TESTED)
    weights = model.contrast("a", "conv")
    now, many = model.error(weights), model.error(weights, 1e6)
    assert now.images == pytest.approx(many.images)
    assert many.total == pytest.approx(now.images, rel=1e-3)


def test_a_missing_run_and_a_missing_split_leave_the_others():
    scores = table(4, 2, of_splits=0.3, of_seeds=0.2)
    scores.loc[(3, 0), "a"] = np.nan
    scores.loc[2, "b"] = np.nan
    model = fit(scores, None, 1000, TESTED)
    assert model.runs.tolist() == [8, 7, 6]
    for variant in ("a", "b"):
        error = model.error(model.contrast(variant, "conv"))
        assert 0 < error.total < 2
    low, high = model.interval("b", 0.95)
    assert 0 < low < high < 100


PLACE = ("digits", "base")


@pytest.mark.parametrize(("splits", "tested"), [(1, False), (2, False), (3, True)])
def test_a_verdict_needs_three_splits_that_both_variants_have(splits, tested):
    """L is five points worse, but has not run on the other splits; b has, so it is tested in any case."""
    scores = table(4, 3, of_splits=0.01, of_seeds=0.01)
    scores["a"] -= 5
    scores["b"] -= 5
    scores.loc[range(splits, 4), "a"] = np.nan
    model = fit(scores, None, 1000, TESTED)
    pairs = [(PLACE, (v, "conv")) for v in ("a", "b")]
    a, b = compare({PLACE: model}, pairs, {PLACE: Margin(1.0, 10.0)}, 0.05).values()
    assert model.common_splits("a", "conv") == splits
    assert (a.tested, a.differs, a.few_splits) == (tested, tested, not tested)
    assert a.outcome == ("different" if tested else "n too small")
    assert not a.no_variance
    assert b.outcome == "different"


def test_a_table_of_splits_without_freedom_gives_no_verdict_from_the_seeds_alone():
    scores = table(2, 3, of_splits=0.1, of_seeds=0.01)[["conv", "a"]]
    scores.loc[1, "a"] = np.nan
    scores["a"] -= 5
    pair = (PLACE, ("a", "conv"))
    found = compare({PLACE: fit(scores, None, 1000, TESTED)}, [pair], {PLACE: Margin(1.0, 10.0)}, 0.05)[pair]
    assert (found.outcome, found.differs) == ("n too small", False)
    assert np.isnan(found.low)


@pytest.mark.parametrize("share", [None, 0.0, 1.0, float("nan")])
def test_the_tested_share_must_be_known(share):
    with pytest.raises(ValueError, match="share of the images"):
        fit(table(2, 2, of_splits=0.1, of_seeds=0.1), None, 1000, share)


def test_intervals_over_splits_cover_the_truth():
    """A short version of benchmarks/coverage.py: splits of one pool, training sets and seeds that matter."""
    found = simulate(SETTINGS["5 splits, 5 % error"], 3, 40)
    assert found.single >= 0.93
    assert found.simultaneous >= 0.88
    assert found.false <= 0.12
