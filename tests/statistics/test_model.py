"""The model against textbook formulas in the cases where it is one of them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from linconv.statistics import accuracy_interval, fit, spread


def scores(seeds: int = 4, variants: int = 6, deviation: float = 0.3, start: int = 0) -> pd.DataFrame:
    """Accuracies with effects of variants and of seeds."""
    rng = np.random.default_rng(start)
    table = 95 + rng.normal(0, 1, (1, variants)) + rng.normal(0, 0.5, (seeds, 1))
    return pd.DataFrame(table + rng.normal(0, deviation, (seeds, variants)), columns=list("abcdefgh")[:variants])


def test_two_variants_are_the_paired_t_test():
    table = scores(variants=2)
    model = fit(table)
    error = model.error(model.contrast("b", "a"))
    differences = table["b"] - table["a"]
    assert error.freedom == pytest.approx(3)
    assert error.total == pytest.approx(stats.sem(differences))
    assert model.contrast("b", "a") @ model.means == pytest.approx(differences.mean())


def test_many_variants_pool_the_residual_of_the_two_way_table():
    table = scores()
    model = fit(table)
    mean_square = mean_square_of_residuals(table)
    error = model.error(model.contrast("c", "a"))
    assert (model.freedom, error.freedom) == (pytest.approx(15), pytest.approx(15))
    assert model.residual == pytest.approx(mean_square**0.5)
    assert error.total == pytest.approx((2 * mean_square / 4) ** 0.5)
    assert model.apart == ()


def test_missing_runs_are_adjusted_for_their_seeds():
    """With additive effects and no noise the difference is exact, whichever seeds are left."""
    table = scores(deviation=0.0)
    wanted = table["b"].mean() - table["a"].mean()
    table.loc[0, "b"] = table.loc[3, "a"] = table.loc[2, "d"] = math.nan
    model = fit(table)
    assert model.contrast("b", "a") @ model.means == pytest.approx(wanted)
    assert model.residual == pytest.approx(0, abs=1e-9)
    assert list(model.runs) == [3, 3, 4, 3, 4, 4]


def test_a_seed_without_any_run_changes_nothing():
    """It once moved all means by a constant."""
    table = scores()
    table.loc[1, "b"] = math.nan
    wider = pd.concat([table, pd.DataFrame(math.nan, index=[8, 9], columns=table.columns)])
    assert fit(wider).means == pytest.approx(fit(table).means)
    assert fit(wider).interval("a", 0.95) == pytest.approx(fit(table).interval("a", 0.95))


def test_missing_runs_give_the_least_squares_error():
    table = scores()
    table.loc[0, "b"] = table.loc[3, "a"] = math.nan
    cells = [(v, s) for v in table for s in table.index if not math.isnan(table.loc[s, v])]
    design = np.array([[*(v == w for w in table), *(s == k for k in table.index[1:])] for v, s in cells], dtype=float)
    values = np.array([table.loc[s, v] for v, s in cells])
    solution, squares, *_ = np.linalg.lstsq(design, values, rcond=None)
    freedom = len(values) - design.shape[1]
    contrast = np.array([-1, 1, *[0] * (design.shape[1] - 2)])
    wanted = (squares[0] / freedom * contrast @ np.linalg.inv(design.T @ design) @ contrast) ** 0.5
    model = fit(table)
    error = model.error(model.contrast("b", "a"))
    assert model.freedom == pytest.approx(freedom)
    assert error.total == pytest.approx(wanted)
    assert model.contrast("b", "a") @ model.means == pytest.approx(contrast @ solution)


def test_a_variant_that_spreads_more_is_set_apart():
    table = scores(variants=8)
    table["h"] = [80.0, 95.0, 88.0, 92.0]
    model = fit(table)
    assert model.apart == ("h",)
    assert model.residual < 0.5
    wide, narrow = (model.error(model.contrast(v, "a")) for v in "hb")
    assert wide.total > 5 * narrow.total
    assert wide.freedom == pytest.approx(3, abs=0.1)
    assert narrow.freedom == pytest.approx(18)


def test_networks_at_chance_do_not_narrow_the_intervals_of_the_others():
    """Half of the variants have collapsed: their spread of 0 once halved the variance of the others."""
    table = scores(variants=6)
    table[["d", "e", "f"]] = 10.0
    whole, alive = fit(table), fit(table[["a", "b", "c"]])
    for model in (whole, alive):
        assert (model.residual, model.freedom) == (pytest.approx(alive.residual), pytest.approx(6))
    errors = [whole.error(whole.contrast(v, "a")).total for v in "bd"]
    assert errors == pytest.approx([alive.error(alive.contrast("b", "a")).total] * 2)
    assert whole.apart == ()
    table.loc[0, "d"] = math.nan
    assert fit(table).means[3] == pytest.approx(10), "the seeds do nothing to it"


def test_runs_that_are_alike_by_chance_stay_in_the_pool():
    """Of 100 images a step is a point: two seeds out of three variants often agree."""
    table = pd.DataFrame({"a": [95.0, 96.0, 95.0], "b": [94.0, 94.0, 94.0], "c": [96.0, 95.0, 95.0]})
    model = fit(table)
    assert model.freedom == pytest.approx(4)
    assert model.residual**2 == pytest.approx(mean_square_of_residuals(table))


def mean_square_of_residuals(table: pd.DataFrame) -> float:
    left = table - table.mean() - table.mean(axis=1).to_numpy()[:, None] + table.to_numpy().mean()
    return float((left.to_numpy() ** 2).sum()) / ((len(table) - 1) * (table.shape[1] - 1))


def test_variances_of_one_size_are_pooled_as_often_as_cochrans_level_says():
    found = [bool(fit(scores(start=i)).apart) for i in range(400)]
    assert np.mean(found) <= 0.08


def images(seeds: int, of_seeds: float, of_images: float, count: int = 400, start: int = 0):
    """Scores and outcomes of two variants; b's chance of being right differs by seed and by image."""
    rng = np.random.default_rng(start)
    chance = 0.7 + of_images * rng.standard_normal((2, 1, count)) + of_seeds * rng.standard_normal((2, seeds, 1))
    right = rng.random((2, seeds, count)) < chance
    correct = {(v, s): right[i, s] for i, v in enumerate("ab") for s in range(seeds)}
    return pd.DataFrame(100 * right.mean(2).T, columns=["a", "b"]), correct


def test_without_noise_of_seeds_the_error_is_that_of_paired_images():
    table, correct = images(1, 0, 0.2)
    once = {(v, s): correct[v, 0] for v in "ab" for s in range(3)}
    model = fit(pd.concat([table] * 3, ignore_index=True), once)
    difference = 100.0 * correct["b", 0] - 100.0 * correct["a", 0]
    error = model.error(model.contrast("b", "a"))
    assert error.total == pytest.approx(stats.sem(difference))
    assert error.seeds == pytest.approx(0, abs=1e-9)
    assert error.freedom == pytest.approx(399)
    assert model.images == "measured"


def test_more_seeds_do_not_take_off_the_noise_of_the_images():
    model = fit(*images(4, 0.05, 0.2))
    weights = model.contrast("b", "a")
    now, many = model.error(weights), model.error(weights, 1e6)
    parts = {part.source: weights @ part.covariance @ weights for part in model.parts}
    assert many.total**2 == pytest.approx(parts["images"] - parts["rest"], rel=1e-4)
    assert many.images < now.images
    assert many.seeds == pytest.approx(1e-3 * now.seeds)


def test_without_outcomes_the_part_of_the_images_is_bounded():
    table, correct = images(4, 0.02, 0.0)
    measured, bounded, seeds = fit(table, correct), fit(table, images=400), fit(table)
    assert (bounded.images, seeds.images) == ("bounded", "unknown")
    weights = bounded.contrast("b", "a")
    share = (table.mean() / 100).to_numpy()
    wanted = 1e4 * (share * (1 - share)).sum() / 400
    assert bounded.error(weights).images ** 2 == pytest.approx(wanted, rel=0.01)
    assert bounded.error(weights).total > measured.error(weights).total
    assert seeds.error(weights).total == pytest.approx(seeds.error(weights).seeds)


def test_one_run_without_outcomes_bounds_them_all():
    table, correct = images(4, 0.02, 0.0)
    del correct["a", 2]
    assert fit(table, correct, 400).images == "bounded"
    correct["a", 2] = np.ones(399, dtype=bool)
    assert fit(table, correct, 400).images == "bounded"


@pytest.mark.parametrize("accuracy", [100.0, 99.95, 50.0, 0.0])
def test_intervals_of_accuracies_are_accuracies(accuracy):
    low, high = accuracy_interval(accuracy, 5.0 if accuracy == 50 else 0.1, 2, 400, 0.95)
    assert 0 <= low <= accuracy <= high <= 100
    assert low < high


def test_the_interval_of_many_images_is_wilsons():
    # 480 of 500: scipy's Wilson interval; the t quantile of many degrees of freedom is the normal one
    error = 100 * (0.96 * 0.04 / 500) ** 0.5
    wanted = stats.binomtest(480, 500).proportion_ci(method="wilson")
    found = accuracy_interval(96.0, error, 1e6, 500, 0.95)
    assert found == pytest.approx((100 * wanted.low, 100 * wanted.high), abs=1e-3)


def test_nothing_is_known_of_a_single_run_without_images():
    assert all(math.isnan(end) for end in accuracy_interval(99.0, 0.0, 1, None, 0.95))


def test_spread_of_students_sleep_data():
    # The textbook example: mean 1.58, 95 % interval 0.70 to 2.46.
    found = spread([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert (found.mean, found.low, found.high) == pytest.approx((1.58, 0.7001142, 2.4598858), abs=1e-6)


def test_one_seed_has_a_mean_and_no_error_of_seeds():
    model = fit(scores(seeds=1, variants=3))
    assert model.freedom == pytest.approx(0)
    assert model.error(model.contrast("b", "a")).total == 0
    assert all(math.isnan(end) for end in model.interval("a", 0.95))


@pytest.mark.parametrize("count", [None, 10_000])
def test_one_run_of_each_variant_has_no_interval_whatever_is_known_of_the_images(count):
    """The interval is for other seeds, of which nothing is known; it was that of the images alone."""
    model = fit(scores(seeds=1, variants=3), images=count)
    assert all(math.isnan(end) for end in model.interval("a", 0.95))
    table, correct = images(1, 0.05, 0.2)
    assert all(math.isnan(end) for end in fit(table, correct).interval("a", 0.95))
    both = scores(seeds=3, variants=2)
    both.loc[1:, "b"] = math.nan
    low, high = fit(both, images=count).interval("b", 0.95)
    assert low < both.loc[0, "b"] < high, "a's runs tell the spread"


def test_two_variants_have_the_intervals_of_their_own_runs():
    table = scores(seeds=5, variants=2)
    table["b"] = 90 + 10 * (table["b"] - table["b"].mean())
    model = fit(table)
    assert model.alone[0] == pytest.approx(table.var().to_numpy() / 5)
    assert model.alone[1] == pytest.approx([4, 4])


@pytest.mark.parametrize("others", [[90.0, 91.0, 90.0], None], ids=["third variant", "two variants"])
@pytest.mark.parametrize("first", [3, 2], ids=["no seed in common", "one seed in common"])
def test_variants_whose_seeds_do_not_meet_are_compared_by_their_plain_means(first, others):
    """No runs tell their seeds apart: the solver once gave +12.3 points and "different" for -10."""
    table = pd.DataFrame(index=range(6), columns=["a", "b"], dtype=float)
    table.loc[0:2, "a"] = [90, 91, 92]
    table.loc[first : first + 2, "b"] = [80, 81, 82]
    if others and first == 3:
        table.loc[0:2, "c"] = others
    table = table.dropna(how="all")
    model = fit(table)
    weights = model.contrast("b", "a")
    assert weights @ model.means == pytest.approx(-10)
    groups = [table[v].dropna() for v in table]
    assert model.freedom == pytest.approx(sum(len(g) - 1 for g in groups))
    pooled = sum((len(g) - 1) * g.var() for g in groups) / model.freedom
    assert model.error(weights).total == pytest.approx((2 * pooled / 3) ** 0.5)
    low, high = model.interval("a", 0.95)
    assert low < 91 < high


def test_means_and_errors_that_are_rounding_do_not_count():
    """The mean of three times 100 came out as 99.99999999999999: its interval was [0, 100], its error not 0."""
    perfect = pd.DataFrame({"a": [100.0] * 3, "b": [70.0, 90.0, 100.0]})
    for images in (200, 10_000):
        model = fit(perfect, images=images)
        assert model.means[0] == 100
        assert model.interval("a", 0.95)[0] > 80
    assert all(map(math.isnan, fit(pd.DataFrame({"a": [90.1] * 3, "b": [70.3] * 3})).interval("a", 0.95)))
