"""A short version of benchmarks/coverage.py: shared hard images, seeds that matter, a truth that is known."""

from __future__ import annotations

import pytest

from benchmarks.coverage import SETTINGS, SPREADS, Setting, accuracies, simulate, simulate_spreads

SMALL = Setting(images=2000, error=0.05, concentration=0.5, of_images=1.2, of_seeds=0.1)
REPETITIONS = 150  # the single intervals of a repetition are correlated: about 1.3 points of Monte Carlo error


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_cover_the_truth_as_often_as_they_say(seeds):
    found = simulate(SMALL, seeds, REPETITIONS)
    assert 0.91 <= found.single <= 0.985
    assert found.simultaneous >= 0.90
    assert found.false <= 0.09


def test_bounded_intervals_cover_more_often():
    found = simulate(SMALL, 3, REPETITIONS // 3, outcomes=False)
    assert found.single >= 0.97
    assert found.false == 0


@pytest.mark.parametrize("name", ["equal spreads", "three of six do not vary"])
def test_variants_that_do_not_vary_leave_the_coverage_of_the_others(name):
    """84 % of the tables were right where half of the variants had collapsed."""
    assert simulate_spreads(SPREADS[name], 3, REPETITIONS).simultaneous >= 0.90


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_the_truth_has_equal_and_worse_variants(setting):
    plain, *others = accuracies(setting)
    assert len(others) == setting.variants - 1
    assert others[:3] == [plain] * min(3, len(others))
    if len(others) > 1:
        assert plain > others[3] > others[4]
