"""What tables, figures and claims say of comparisons, everywhere in the same words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from linconv.config.options import LEAST_MARGIN
from linconv.report.inference import Place
from linconv.report.labels import place_label, variant_label
from linconv.report.source import CellKey, Experiment
from linconv.report.text import decimals, interval_text, number, percent
from linconv.report.wording import cell_label
from linconv.statistics import MIN_RUNS, MIN_SPLITS, NO_ERROR, Comparison, Model, open_verdicts

HOW_TO_READ = (
    "**Difference [interval] (runs) sign.** A difference is a variant minus the plain network (Conv), in percentage "
    "points, with the number of runs of each. All intervals of a table together hold with 95 % (or 1 - alpha) "
    "where the runs of the variants spread alike: they are simultaneous, as Dunnett's are.",
    "**The interval decides the verdict.** Different (≠): it excludes 0. Equivalent (≈): it lies within the margin. "
    "Undecided (?): neither; that is no equality. A margin that reaches the plain network's error makes nothing "
    "equivalent.",
    "**It is for other seeds and other test images.** The spread of the seeds is pooled over the variants of a "
    "network; a variant that spreads more (Cochran's test) keeps its own. A few seeds seldom show that a variant does: "
    "then the intervals of a table hold together less often than 95 %. "
    "The images' part comes from the outcome of each image. Results without outcomes get an upper bound, as if "
    "networks failed on images independently. Over several splits of the data (`splits` in the configuration) it is "
    "for other splits too: what varies between splits takes the place of the images' part, widened since splits share "
    "images. Where a variant lacks seeds or splits that others have, its mean is adjusted for them, and a note gives "
    "the mean of its runs alone.",
    f"**Margins** are given in the configuration, in points or as a share of the plain network's error, by default a "
    f"fifth of it and at least {LEAST_MARGIN:g} points.",
    "**P(worse), P(equivalent), P(better)** are the probabilities that the difference is below, within and above the "
    "margin. They are not adjusted for the number of comparisons; p-values say whether they are.",
    "**A rank** is one more than the number of variants of the budget that a test shows to be better. So a test need "
    "not tell the variants of two ranks apart. Bold accuracies are above all others of their group by test; counts are "
    "exact.",
    "**Seeds that would decide** are the runs of each side with which every open verdict would close, if means and "
    "spreads stay as they are; over several splits, all runs on the splits that there are. Where the test images, or "
    "the splits, alone leave too wide an interval, no number of seeds will; a note says which it is.",
)


def how_to_read() -> str:
    """What holds for all tables, as a Markdown list: once, in place of long captions."""
    return "\n".join(f"* {text}" for text in HOW_TO_READ)


def difference_text(found: Comparison) -> str:
    """A difference and its simultaneous interval, without the interval where there is no test."""
    digits = decimals(found.error.total)
    interval = interval_text(found.low, found.high, digits, signed=True)
    return f"{number(found.mean, digits, signed=True)} {interval}".rstrip()


def tested_text(experiment: Experiment, found: Iterable[Comparison]) -> str:
    """How many tests there were and at which level, in a short sentence."""
    tested = sum(c.tested for c in found)
    level = percent(1 - experiment.config.statistics.alpha)
    if not tested:
        return "Nothing could be tested."
    return (
        f"Intervals hold for all {tested} comparisons at once ({level})." if tested > 1 else f"Intervals are {level}."
    )


def legend(experiment: Experiment) -> Iterator[str]:
    """The signs of the outcomes that occur, and what else a reader has to know of the comparisons with Conv."""
    found = experiment.comparisons
    meanings = {
        "≈": "≈ equivalent to Conv within the margin",
        "≈≠": "≈≠ equivalent within the margin, though different from 0",
        "≠": "≠ different from Conv",
        "?": "? undecided: neither a difference nor equivalence is shown",
        "": f"no sign: fewer than {MIN_RUNS} runs",
    }
    if any(c.few_splits for c in found.values()):
        meanings[""] += f", or {MIN_SPLITS} splits"
    marks = {c.mark for c in found.values()}
    shown = [text for mark, text in meanings.items() if mark in marks]
    if shown:
        yield "; ".join(shown) + "."
    yield from comparison_notes(experiment, found)


def comparison_notes(experiment: Experiment, found: Mapping[CellKey, Comparison]) -> Iterator[str]:
    """Margins, sources of noise, variants set apart, and the seeds that would decide."""
    places = list(dict.fromkeys(cell[:2] for cell, c in found.items() if c.runs))
    if not places:
        return
    yield from margin_notes(experiment, places)
    yield from noise_notes(experiment, found)
    few = [cell_label(*cell) for cell, c in found.items() if c.few_splits]
    if few:
        cells = ", ".join(few)
        yield f"No verdict over several splits, since both sides have fewer than {MIN_SPLITS} in common: {cells}."
    flat = [cell_label(*cell) for cell, c in found.items() if c.no_variance]
    if flat:
        yield f"Nothing varies, so that nothing is decided: {', '.join(flat)}."
    yield from open_notes(found.values())


def margin_notes(experiment: Experiment, places: Iterable[Place]) -> Iterator[str]:
    """The margin of every place in points and as a share of the plain network's error."""
    parts = []
    for place in places:
        margin = experiment.margins[place]
        of_error = (
            f"{100 * margin.share:.0f} % of Conv's error" if margin.error > 0 else "Conv's error is 0 or not known"
        )
        refused = "" if margin.meaningful else ", so that nothing is called equivalent"
        parts.append(f"{place_label(*place[::-1])} ±{margin.points:.2f} points ({of_error}{refused})")
    if parts:
        yield f"Margin of equivalence: {'; '.join(parts)}."


def noise_notes(experiment: Experiment, found: Mapping[CellKey, Comparison]) -> Iterator[str]:
    """Which sources of noise the intervals count and how much comes from which; which variants are set apart."""
    by_place: dict[Place, list[Comparison]] = {}
    for cell, comparison in found.items():
        if comparison.tested:
            by_place.setdefault(cell[:2], []).append(comparison)
    for place, tested in by_place.items():
        model = experiment.models[place]
        shares = sorted(c.error.seeds**2 / (c.error.seeds**2 + c.error.images**2) for c in tested)
        low, high = (f"{100 * share:.0f}" for share in (shares[0], shares[-1]))
        of_seeds = f"{low} %" if low == high else f"{low} to {high} %"
        apart = f"; {', '.join(map(variant_label, model.apart))} spread more and are set apart" if model.apart else ""
        spread = model.residual >= NO_ERROR
        row = "seed" if model.splits is None or model.seeds_told_apart else "split"
        residual = (
            f"runs spread by {model.residual:.2g} points about their variant and {row}" if spread else "no run varies"
        )
        yield f"{place_label(*place[::-1])}: {residual}{apart}; {_images_text(model, of_seeds)}."


def _images_text(model: Model, of_seeds: str) -> str:
    """What the intervals know of the test images, or of the splits that take their place."""
    if model.images == "measured":
        return f"{of_seeds} of the variance of a difference is from the seeds, the rest from the test images"
    if model.images == "bounded":
        return (
            f"no outcomes per image; the part of the {model.count:,} test images is an upper bound, "
            f"beside which the seeds make {of_seeds} of the variance of a difference"
        )
    if model.images == "splits":
        return _splits_text(model, of_seeds)
    return (
        "neither outcomes per image nor the number of test images are known: intervals are of the seeds alone, and "
        "verdicts hold for this test set"
    )


def _splits_text(model: Model, of_seeds: str) -> str:
    splits = 0 if model.splits is None else int(model.splits.any(axis=1).sum())
    of_splits = f"{splits} splits of the data, whose test images and training sets differ"
    if not model.seeds_told_apart:
        return f"the variance of a difference is from {of_splits}; seeds and splits are not told apart"
    return f"{of_seeds} of the variance of a difference is from the seeds, the rest from {of_splits}"


_LIMITS = {
    "images": "the test set is too small",
    "bound": "without the outcome of each image, the bound on the part of the test images is too wide",
    "splits": "the splits of the data are too few",
    "margin": "the margin reaches Conv's error, so that nothing is called equivalent",
}


def open_notes(found: Iterable[Comparison]) -> Iterator[str]:
    """How many verdicts are open, how many runs would close them, and why none would."""
    found = list(found)
    undecided, closing, runs = open_verdicts(found)
    if not undecided:
        return
    over_splits = any(c.images == "splits" for c in found)
    what, no_number = ("runs", "No number of runs on these splits") if over_splits else ("seeds", "No number of seeds")
    text = f"Open: {undecided} of {sum(c.tested for c in found)}."
    if closing:
        text += f" If means and spreads stay, {runs} {what} each would decide {closing}."
    limits = Counter(c.limit for c in found if c.outcome == "undecided" and c.tested and c.limit)
    for limit, count in limits.items():
        rest = (
            "any of them"
            if count == undecided
            else f"the other {count}"
            if count + closing == undecided
            else f"{count}"
        )
        if limit == "runs":
            text += f" More than 1,000 {what} each are needed for {rest}."
        else:
            text += f" {no_number} decides {rest}: {_LIMITS[limit]}."
    yield text
