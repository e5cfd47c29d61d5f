"""The interval over seeds and images: known cases, and its coverage where the truth is known."""

import numpy as np
import pytest
from scipy import stats

from linconv.results.crossed import crossed_interval


def test_without_noise_of_images_it_is_the_t_interval_of_the_seeds():
    by_seed = np.array([0.1, 0.4, 0.2, 0.6])
    found = crossed_interval(np.repeat(by_seed[:, None], 50, axis=1))
    low, high = stats.t.interval(0.95, 3, by_seed.mean(), stats.sem(by_seed))
    assert found[:3] == pytest.approx((by_seed.mean(), low, high))
    assert found.image_error == pytest.approx(0, abs=1e-12)


def test_without_noise_of_seeds_it_is_the_t_interval_of_the_images():
    by_image = np.random.default_rng(0).normal(size=30)
    found = crossed_interval(np.repeat(by_image[None, :], 4, axis=0))
    low, high = stats.t.interval(0.95, 29, by_image.mean(), stats.sem(by_image))
    assert found[:3] == pytest.approx((by_image.mean(), low, high))


def test_equal_scores_have_no_interval():
    assert crossed_interval(np.full((3, 5), 0.25)) == (0.25, 0.25, 0.25, 0, 0)


@pytest.mark.parametrize(("of_seeds", "of_images"), [(0.3, 0.3), (0.5, 0.05), (0.05, 0.5)])
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_cover_the_truth_as_often_as_they_say(of_seeds, of_images, seeds):
    """Standard errors of the mean: `of_seeds` for three seeds, `of_images` for 200 images."""
    generator = np.random.default_rng(1)
    covered, repetitions, images = 0, 1000, 200
    for _ in range(repetitions):
        seed_effects = generator.normal(0, of_seeds * 3**0.5, (seeds, 1))
        image_effects = generator.normal(0, of_images * images**0.5, (1, images))
        found = crossed_interval(2 + seed_effects + image_effects + generator.normal(0, 1, (seeds, images)))
        covered += found.low <= 2 <= found.high
    assert 0.93 <= covered / repetitions <= 0.985


@pytest.mark.parametrize("scores", [np.zeros(5), np.zeros((1, 5)), np.full((3, 4), np.nan)])
def test_too_few_or_missing_scores_are_refused(scores):
    with pytest.raises(ValueError, match="at least two seeds and two images"):
        crossed_interval(scores)
