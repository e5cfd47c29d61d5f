"""Exact power against the noncentral t distribution, and against drawn tables."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.power import drawn
from linconv.statistics.power import Design, chances


@pytest.mark.parametrize("difference", [0.0, 0.3, -1.0])
def test_one_comparison_without_images_has_the_power_of_the_noncentral_t(difference):
    design = Design(variants=1, seeds=5, deviation=0.4, margin=0.5)
    error = 0.4 * (2 / 5) ** 0.5
    quantile, shift = stats.t.ppf(0.975, 4), difference / error
    wanted = stats.nct.sf(quantile, 4, shift) + stats.nct.cdf(-quantile, 4, shift)
    assert chances(design, difference).different == pytest.approx(wanted, abs=1e-3)


def test_many_images_leave_the_normal_power():
    """With hardly any noise of the seeds, what the images leave is a z-test."""
    found = chances(Design(variants=1, seeds=5, deviation=1e-6, margin=1.0, image_error=0.2), 0.5)
    wanted = stats.norm.sf(1.96, 2.5) + stats.norm.cdf(-1.96, 2.5)
    assert found.different == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(("difference", "margin"), [(0.0, 1.0), (-0.6, 1.0), (0.4, 0.5)])
def test_drawn_tables_agree(difference, margin):
    design = Design(variants=5, seeds=3, deviation=0.3, margin=margin)
    exact, found = chances(design, difference), drawn(design, difference, 200)
    for name in ("different", "equivalent", "undecided"):
        p = getattr(exact, name)
        assert getattr(found, name) == pytest.approx(p, abs=3.5 * np.sqrt(max(p * (1 - p), 0.01) / 200))


def test_a_plan_needs_two_seeds():
    with pytest.raises(ValueError, match="two seeds"):
        chances(Design(variants=5, seeds=1, deviation=0.3, margin=0.5), 0.0)
