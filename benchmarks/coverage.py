"""Do the tables' intervals cover the truth as often as they say? A simulation in which the truth is known.

Six variants, the plain network first, are evaluated on one test set in every repetition. Images are hard or easy for
all networks alike (a Beta distribution of their chance of failure, most of it at 0 and 1), each variant also finds
images of its own hard, and each run is better or worse by its seed. Two of the five others are truly worse. A
repetition draws new images and new seeds. `python benchmarks/coverage.py` prints, by kind of data set and number of
seeds, how often

    single         a 95 % interval of one difference covers it (mean over the five),
    simultaneous   the intervals that the tables print cover all five differences at once,
    false          one or more of the variants that equal the plain network is called different: of three, or of all
                   five where the variants' spreads differ (`SPREADS`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, logit

from linconv.statistics import Margin, Model, compare, fit

VARIANTS = ("plain", "equal 1", "equal 2", "equal 3", "worse 1", "worse 2")
WORSE = np.array([0, 0, 0, 0, 0.25, 0.5])  # on the scale of log-odds of a failure
PLACE = ("simulated", "network")


class Setting(NamedTuple):
    """A kind of data set: test images, mean error, concentration of the images' difficulty (small: shared and hard),
    and the deviations, as log-odds, between images of one variant and between runs of one variant.

    Several `splits` each test that many images, a fifth of a pool, and `of_splits` is the deviation between the
    training sets of one variant. The first `variants` of all take part."""

    images: int
    error: float
    concentration: float
    of_images: float
    of_seeds: float
    splits: int = 1
    of_splits: float = 0.0
    variants: int = len(VARIANTS)


TESTED = 0.2  # the share of the pool that each of several splits tests
SETTINGS = {
    "CIFAR-10-like": Setting(10_000, 0.14, 0.5, 0.8, 0.06),
    "MNIST-like": Setting(10_000, 0.01, 0.3, 1.5, 0.3),
    "MNIST-like, no seed noise": Setting(10_000, 0.01, 0.3, 1.5, 0.0),
    "1,797 digits": Setting(1797, 0.01, 0.3, 1.5, 0.3),
    "354 digits": Setting(354, 0.01, 0.3, 1.5, 0.3),
    "3 splits of 1,797 digits, 2 variants": Setting(359, 0.01, 0.3, 1.5, 0.3, 3, 0.2, 2),
    "3 splits, 5 % error, 2 variants": Setting(359, 0.05, 0.5, 1.0, 0.1, 3, 0.1, 2),
    "3 splits of 1,797 digits": Setting(359, 0.01, 0.3, 1.5, 0.3, 3, 0.2),
    "10 splits of 1,797 digits": Setting(359, 0.01, 0.3, 1.5, 0.3, 10, 0.2),
    "5 splits, 5 % error": Setting(359, 0.05, 0.5, 1.0, 0.1, 5, 0.1),
    "5 splits, 5 % error, no seed noise": Setting(359, 0.05, 0.5, 1.0, 0.0, 5, 0.0),
}

# Six equal variants without a part of the images, whose runs spread by other amounts, in points, the plain network
# first. The pooled spread then fits none of them.
SPREADS = {
    "equal spreads": (0.3,) * 6,
    "one variant spreads threefold": (0.3, 0.9, 0.3, 0.3, 0.3, 0.3),
    "Conv spreads threefold": (0.9, 0.3, 0.3, 0.3, 0.3, 0.3),
    "three of six do not vary": (0.3, 0.3, 0.3, 0.0, 0.0, 0.0),
}


class Found(NamedTuple):
    """Shares of repetitions, in [0, 1]."""

    single: float
    simultaneous: float
    false: float


def failures(setting: Setting, seeds: int, images: int, rng: np.random.Generator) -> np.ndarray:
    """Chances of failure (variants, seeds, images) of newly drawn images and seeds."""
    return expit(_odds(setting, images, rng)[:, None] + _normal(setting.of_seeds, (setting.variants, seeds, 1), rng))


def _normal(deviation: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.float32(deviation) * rng.standard_normal(shape, dtype=np.float32)


def _odds(setting: Setting, images: int, rng: np.random.Generator) -> np.ndarray:
    """Log-odds of a failure (variants, images), without the part of the seeds."""
    a = setting.error * setting.concentration
    hard = logit(np.clip(rng.beta(a, setting.concentration - a, images), 1e-9, 1 - 1e-9))
    own = _normal(setting.of_images, (setting.variants, images), rng)
    return np.asarray(hard.astype(np.float32) + own + WORSE[: setting.variants, None].astype(np.float32))


def accuracies(setting: Setting) -> np.ndarray:
    """The accuracies (variants,) in percent over all images and seeds there could be, by quadrature."""
    a = setting.error * setting.concentration
    shares = (np.arange(200_000) + 0.5) / 200_000
    hard = logit(np.clip(stats.beta.ppf(shares, a, setting.concentration - a), 1e-9, 1 - 1e-9))
    points, weights = np.polynomial.hermite_e.hermegauss(31)
    spread = np.linalg.norm([setting.of_images, setting.of_seeds, setting.of_splits])
    found = [
        sum(w * expit(hard + spread * x + worse).mean() for x, w in zip(points, weights, strict=True))
        for worse in WORSE[: setting.variants]
    ]
    return 100 * (1 - np.array(found) / weights.sum())


def simulate(setting: Setting, seeds: int, repetitions: int, *, outcomes: bool = True, start: int = 0) -> Found:
    """Draw, fit and compare; without `outcomes` the images' part is bounded as for results without them."""
    true = accuracies(setting)[1:] - accuracies(setting)[0]
    hits = np.array([list(_once(setting, seeds, true, start + i, outcomes)) for i in range(repetitions)])
    covered, single, false = hits[:, 0], hits[:, 1], hits[:, 2]
    return Found(float(single.mean()), float(covered.mean()), float(false.mean()))


def simulate_spreads(spreads: tuple[float, ...], seeds: int, repetitions: int, *, start: int = 0) -> Found:
    """As `simulate`, for variants of `SPREADS`: a seed adds 0.3 points to all of them."""
    hits = np.array([list(_of_spreads(spreads, seeds, start + i)) for i in range(repetitions)])
    covered, single, false = hits.mean(0)
    return Found(float(single), float(covered), float(false))


def _of_spreads(spreads: tuple[float, ...], seeds: int, draw: int) -> Iterator[float]:
    rng = np.random.default_rng([seeds, draw])
    common = 0.3 * rng.standard_normal((seeds, 1)) * (np.array(spreads) > 0)
    values = 90 + common + np.array(spreads) * rng.standard_normal((seeds, len(spreads)))
    yield from _hits(fit(pd.DataFrame(values, columns=list(VARIANTS))), np.zeros(len(spreads) - 1), 5)


def _once(setting: Setting, seeds: int, true: np.ndarray, draw: int, outcomes: bool) -> Iterator[float]:
    rng = np.random.default_rng([seeds, draw])
    model = _fitted(setting, seeds, outcomes, rng) if setting.splits == 1 else _over_splits(setting, seeds, rng)
    yield from _hits(model, true, int((WORSE[1 : setting.variants] == 0).sum()))


def _hits(model: Model, true: np.ndarray, equal: int) -> Iterator[float]:
    """Whether all intervals cover, the share of single ones that do, whether one of the first `equal` is different."""
    pairs = [(PLACE, (v, VARIANTS[0])) for v in VARIANTS[1 : 1 + len(true)]]
    found = list(compare({PLACE: model}, pairs, {PLACE: Margin(0.1, 1.0)}, 0.05, plan=False).values())
    yield all(c.low <= t <= c.high for c, t in zip(found, true, strict=True))
    alone = [stats.t.isf(0.025, c.error.freedom) * c.error.total for c in found]
    yield float(np.mean([abs(c.mean - t) <= half for c, t, half in zip(found, true, alone, strict=True)]))
    yield any(c.differs for c in found[:equal])


def _fitted(setting: Setting, seeds: int, outcomes: bool, rng: np.random.Generator) -> Model:
    chances = failures(setting, seeds, setting.images, rng)
    right = rng.random(chances.shape, dtype=np.float32) >= chances
    scores = pd.DataFrame(100 * right.mean(2).T, columns=list(VARIANTS[: setting.variants]))
    correct = {(str(v), s): right[i, s] for i, v in enumerate(scores) for s in range(seeds)}
    return fit(scores, correct if outcomes else None, setting.images)


def _over_splits(setting: Setting, seeds: int, rng: np.random.Generator) -> Model:
    """The same over splits that draw their test images from one pool."""
    odds = _odds(setting, round(setting.images / TESTED), rng)
    rows = {}
    for split in range(setting.splits):
        tested = odds[:, rng.permutation(odds.shape[1])[: setting.images]]
        tested = tested + _normal(setting.of_splits, (setting.variants, 1), rng)
        for seed in range(seeds):
            chances = expit(tested + _normal(setting.of_seeds, (setting.variants, 1), rng))
            rows[split, seed] = 100 * (rng.random(chances.shape, dtype=np.float32) >= chances).mean(1)
    index = pd.MultiIndex.from_tuples(rows, names=["split", "seed"])
    scores = pd.DataFrame(list(rows.values()), index=index, columns=list(VARIANTS[: setting.variants]))
    return fit(scores, None, odds.shape[1], TESTED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--settings", nargs="+", choices=[*SETTINGS, *SPREADS], default=[*SETTINGS, *SPREADS])
    parser.add_argument("--bounded", action="store_true", help="as for results without outcomes per image")
    asked = parser.parse_args()
    print("| data | seeds | single | simultaneous | false |\n| :-- | --: | --: | --: | --: |")
    for name in asked.settings:
        for seeds in asked.seeds:
            if name in SPREADS:
                found = simulate_spreads(SPREADS[name], seeds, asked.repetitions)
            else:
                found = simulate(SETTINGS[name], seeds, asked.repetitions, outcomes=not asked.bounded)
            cells = " | ".join(f"{100 * value:.1f} %" for value in found)
            print(f"| {name} | {seeds} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
