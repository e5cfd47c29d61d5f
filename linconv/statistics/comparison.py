"""Is a variant as accurate as another one? The comparison that tables, figures and claims print."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from scipy import special

from linconv.statistics.family import Maximum, maxima, two_sided
from linconv.statistics.model import Error, ImageVariance, Model
from linconv.statistics.spread import NO_ERROR

TestOutcome = Literal["equivalent", "different", "undecided", "n too small"]
Limit = Literal["", "margin", "images", "bound", "splits", "runs"]
Place = tuple[str, str]  # data set, network
Pair = tuple[str, str]  # variant, reference

MIN_RUNS = 3  # of each side: with fewer neither the mean nor the spread of a variant can be checked
MIN_SPLITS = 3  # that both sides have, of several: two leave one degree of freedom, and the intervals cover too little
MOST_RUNS = 1000


class Margin(NamedTuple):
    """The largest difference that does not matter, in points, and the error of the plain network in percent."""

    points: float
    error: float

    @property
    def share(self) -> float:
        """The margin as a share of the error; infinite where there is no error."""
        return self.points / self.error if self.error > 0 else math.inf

    @property
    def meaningful(self) -> bool:
        """Whether equivalence within the margin says anything: not where it reaches the error itself."""
        return self.points < self.error


@dataclass(frozen=True)
class Comparison:
    """A variant minus a reference, in percentage points.

    Args:
        runs: of the side with fewer.
        mean: the difference of the model's means.
        low, high: the simultaneous interval, for other seeds and, unless `images` is "unknown", other test images.
        error: the standard error and its sources.
        p: two-sided p of a difference of 0, not adjusted.
        p_adjusted: adjusted over the family; at most the level if and only if the interval excludes 0.
        p_equivalence: adjusted over the family; at most the level if and only if the interval is within the margin.
        margin: of equivalence.
        images: how the part of the test images is known.
        probabilities: of worse than the margin, within it, better; not adjusted, NaN where nothing is known.
        seeds_needed: runs of each side that would decide, with means and spreads as found; None: no number up to
            1,000 would.
        limit: why none would: the margin reaches the error; too few test images; only a bound on their part is known;
            too few splits; more than 1,000 runs are needed. "" where it does not apply.
        outcome: the verdict.
    """

    runs: int
    mean: float
    low: float
    high: float
    error: Error
    p: float
    p_adjusted: float
    p_equivalence: float
    margin: Margin
    images: ImageVariance
    probabilities: tuple[float, float, float]
    seeds_needed: int | None
    outcome: TestOutcome
    differs: bool
    limit: Limit = ""

    @property
    def tested(self) -> bool:
        """Whether there are enough runs and any noise to test with."""
        return not math.isnan(self.p)

    @property
    def no_variance(self) -> bool:
        """Whether nothing varies: all runs of both sides are alike."""
        return self.outcome == "undecided" and not self.tested

    @property
    def few_splits(self) -> bool:
        """Whether there are enough runs, but on too few splits of the data that both sides have."""
        return self.outcome == "n too small" and self.runs >= MIN_RUNS

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


def compare(
    models: Mapping[Place, Model],
    pairs: Iterable[tuple[Place, Pair]],
    margins: Mapping[Place, Margin],
    alpha: float,
    *,
    plan: bool = True,
) -> dict[tuple[Place, Pair], Comparison]:
    """Compare pairs of variants; all that can be tested are one family, whose level is `alpha`.

    Args:
        models: of each network on a data set.
        pairs: the differences; one that is given twice, or in both directions, is one hypothesis.
        margins: of each network on a data set that has a model; without a model nothing is tested.
        alpha: the chance of one or more intervals that miss, hence of one or more wrong verdicts.
        plan: find the numbers of runs that would decide, which takes most of the time.
    """
    wanted = list(dict.fromkeys(pairs))
    families: dict[Place, list[Pair]] = {place: [] for place in models}
    for place, pair in wanted:
        if place in models and pair[::-1] not in families[place] and testable(models[place], pair):
            families[place].append(pair)
    distributions = dict(zip(models, maxima(list(models.values()), list(families.values())), strict=True))
    return {
        (place, pair): _comparison(models[place], pair, margins[place], distributions[place], alpha, plan)
        if place in models
        else UNTESTED
        for place, pair in wanted
    }


def differing(model: Model, pairs: Iterable[Pair], alpha: float) -> dict[Pair, float]:
    """The pairs, of one family, whose interval excludes 0, with the difference in points.

    What `compare` says of them without intervals and verdicts, which for the pairs of many variants takes long.
    """
    family = [pair for pair in dict.fromkeys(pairs) if testable(model, pair)]
    (maximum,) = maxima([model], [family])
    found = {}
    for pair in family:
        weights = model.contrast(*pair)
        mean, error = float(weights @ model.means), model.error(weights)
        if maximum is not None and maximum.exceeded(mean / error.total, alpha, error.freedom):
            found[pair] = mean
    return found


def hypotheses(found: Mapping[tuple[Place, Pair], Comparison]) -> int:
    """How many tests of a difference were made: a pair in both directions is one."""
    return len({(place, frozenset(pair)) for (place, pair), comparison in found.items() if comparison.tested})


def testable(model: Model, pair: Pair) -> bool:
    """Whether both variants have enough runs, on enough splits if there are several, and anything varies."""
    return _enough(model, pair) and model.error(model.contrast(*pair)).total >= NO_ERROR


def _enough(model: Model, pair: Pair) -> bool:
    if _runs(model, pair) < MIN_RUNS:
        return False
    splits = model.common_splits(*pair)
    return splits is None or splits >= MIN_SPLITS


def _runs(model: Model, pair: Pair) -> int:
    return min(int(model.runs[model.variants.index(v)]) if v in model.variants else 0 for v in pair)


_NAN3 = (math.nan, math.nan, math.nan)
_NO_TEST = Error(math.nan, math.nan, math.nan, math.nan)
UNTESTED = Comparison(
    0, *_NAN3, _NO_TEST, *_NAN3, Margin(math.nan, math.nan), "unknown", _NAN3, None, "n too small", False
)


def _comparison(
    model: Model, pair: Pair, margin: Margin, maximum: Maximum | None, alpha: float, plan: bool
) -> Comparison:
    runs = _runs(model, pair)
    if not runs:
        return replace(UNTESTED, margin=margin, images=model.images)
    weights = model.contrast(*pair)
    # rounded: equal means differ by 1e-14, which would print as -0.00
    mean, error = round(float(weights @ model.means), 9), model.error(weights)
    if maximum is None or not testable(model, pair):
        outcome: TestOutcome = "undecided" if _enough(model, pair) else "n too small"
        return replace(UNTESTED, runs=runs, mean=mean, margin=margin, images=model.images, outcome=outcome)
    half = maximum.quantile(alpha, error.freedom) * error.total
    low, high = mean - half, mean + half
    differs = low > 0 or high < 0
    within = -margin.points < low and high < margin.points
    outcome = "equivalent" if within and margin.meaningful else "different" if differs else "undecided"
    room = (margin.points - abs(mean)) / error.total
    needed: int | None = None
    limit: Limit = ""
    if plan:
        needed = _needed(model, weights, runs, margin, maximum, alpha) if outcome == "undecided" else runs
        limit = _limit(model, weights, margin, maximum, alpha) if needed is None else ""
    return Comparison(
        runs=runs,
        mean=mean,
        low=low,
        high=high,
        error=error,
        p=two_sided(mean / error.total, error.freedom),
        p_adjusted=maximum.p(mean / error.total, error.freedom),
        p_equivalence=maximum.p(room, error.freedom) if room > 0 else 1.0,
        margin=margin,
        images=model.images,
        probabilities=probabilities(mean, error, margin.points),
        seeds_needed=needed,
        outcome=outcome,
        differs=differs,
        limit=limit,
    )


def probabilities(mean: float, error: Error, margin: float) -> tuple[float, float, float]:
    """Of worse than the margin, within it, and better: the region of practical equivalence, with a flat prior.

    Source: Benavoli, Corani, Demsar & Zaffalon, J. Mach. Learn. Res. 18 (2017), no. 77.
    """
    worse = float(special.stdtr(error.freedom, (-margin - mean) / error.total))
    better = float(special.stdtr(error.freedom, -(margin - mean) / error.total))
    return worse, max(0.0, 1 - worse - better), better


def _needed(model: Model, weights: np.ndarray, runs: int, margin: Margin, maximum: Maximum, alpha: float) -> int | None:
    """The fewest runs with which the interval excludes 0 or lies within the margin, if mean and spreads stay.

    `runs` of them leave the verdict open.
    """
    mean = abs(float(weights @ model.means))
    room = max(mean, margin.points - mean if margin.meaningful else 0.0)

    def decides(seeds: int) -> bool:
        error = model.error(weights, seeds / runs)
        return maximum.exceeded(room / error.total, alpha, error.freedom)

    low = high = runs
    while low == high or not decides(high):
        if high >= MOST_RUNS:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def _limit(model: Model, weights: np.ndarray, margin: Margin, maximum: Maximum, alpha: float) -> Limit:
    """What keeps a verdict open that `_needed` finds no number of runs for."""
    mean = abs(float(weights @ model.means))
    error = model.error(weights, 1e9)

    def decides(room: float) -> bool:
        return room > 0 and maximum.exceeded(room / error.total, alpha, error.freedom)

    if decides(max(mean, margin.points - mean if margin.meaningful else 0.0)):
        return "runs"
    if model.images == "unknown" or (not margin.meaningful and decides(margin.points - mean)):
        return "margin"
    of_images: dict[str, Limit] = {"measured": "images", "bounded": "bound", "splits": "splits"}
    return of_images[model.images]


def open_verdicts(found: Sequence[Comparison]) -> tuple[int, int, int]:
    """How many comparisons are undecided, how many of them more runs of each would decide, and how many runs."""
    undecided = [c for c in found if c.outcome == "undecided" and c.tested]
    needed = [c.seeds_needed for c in undecided if c.seeds_needed is not None]
    return len(undecided), len(needed), max(needed, default=0)
