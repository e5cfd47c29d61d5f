"""Claims about the filters: orthogonal primaries, controlled redundancy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd
from scipy import special

from linconv.report.claims.model import CONTROLLED, ORTHOGONAL, PAPER, Claim, Verdict
from linconv.report.claims.scope import evidence, share_of_epochs
from linconv.report.inference import Place, score_table, tested_share
from linconv.report.labels import place_label
from linconv.report.source import RUN, Experiment
from linconv.report.wording import cell_label
from linconv.statistics import MIN_RUNS, Comparison, Margin, Model, compare, fit

NEARLY_0 = 0.05  # mean |corr| of pairs of primaries below which they are called orthogonal
# A plain network's filters start at the level of random ones. Where their excess over it is a smaller share of the
# level, training has hardly moved them, and the network shows nothing about redundancy.
TRAINED = 0.25
_Measure = Callable[[Experiment], pd.DataFrame]  # a value per run, in the column "measured"
_SCALE = 100  # correlations in hundredths, so that the bound on rounding fits them as it fits percentages


class Filters(NamedTuple):
    """A network on a data set: its mean number with Lr in hundredths, the comparison with L, and its experiment.

    `ends` are those of the interval of the mean, which holds for all places at once (Bonferroni).
    """

    experiment: Experiment
    place: Place
    mean: float
    ends: tuple[float, float]
    comparison: Comparison

    @property
    def lower(self) -> bool:
        return self.comparison.differs and self.comparison.mean < 0

    @property
    def higher(self) -> bool:
        return self.comparison.differs and self.comparison.mean > 0

    def __str__(self) -> str:
        c = self.comparison
        label = f"{cell_label(*self.place, 'Lr')} {self.mean / _SCALE:.3f}, minus L {c.mean / _SCALE:+.3f}"
        if not c.tested:
            return f"{label}, n = {c.runs}, no variance"
        return f"{label} [{c.low / _SCALE:+.3f}, {c.high / _SCALE:+.3f}], n = {c.runs}, adjusted p = {c.p_adjusted:.2g}"


def orthogonal_primaries(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """The correlation regularizer makes the primary filters orthogonal: Lr against L."""
    found = _from_l_to_lr(experiments, _primary_correlations)
    good = [f.lower and f.ends[1] / _SCALE < NEARLY_0 for f in found]
    bad = [f.ends[0] / _SCALE >= NEARLY_0 for f in found]
    yield Claim(
        "orthogonal-primaries",
        "The correlation regularizer makes the primary filters orthogonal (uncorrelated, once centered).",
        PAPER,
        _verdict(found, good, bad),
        _evidence(found, "Mean |corr| of pairs of primary filters") or "No runs of L and Lr to compare.",
        runs=_runs(found),
        rule="Mean absolute correlation of pairs of primary filters, averaged over the layers with P <= D - 1 "
        f"(elsewhere 0 cannot be reached). Supported where in every data set and network with {MIN_RUNS} or more runs "
        f"it is lower with Lr than with L and its interval with Lr is below {NEARLY_0:g}; not supported where that "
        f"interval lies at {NEARLY_0:g} or above in one; undecided otherwise. Intervals hold for all places at once.",
        quote=ORTHOGONAL,
    )


def controlled_redundancy(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """The regularizer moves the redundancy of all filters, primary and secondary: Lr against L."""
    everywhere = _from_l_to_lr(experiments, _excess)
    found = [f for f in everywhere if _moved(f) >= TRAINED]
    left_out = [f"{cell_label(*f.place, 'conv')} ({100 * _moved(f):.0f} %)" for f in everywhere if f not in found]
    yield Claim(
        "redundancy-controlled",
        "LinearConv controls the redundancy among the filters of a network: the regularizer, from L to Lr, lowers it.",
        PAPER,
        _verdict(found, [f.lower for f in found], [f.higher for f in found]),
        _evidence(found, "Mean |corr| of pairs of filters above the level of random filters")
        or "No runs of L and Lr in a network that training has moved.",
        runs=_runs(found),
        rule="Mean absolute correlation of pairs of filters, primary and secondary, less that of random filters, "
        "sqrt(2 / (pi (D - 1))), averaged over the layers with P <= D - 1. Supported where in every data set and "
        f"network with {MIN_RUNS} or more runs it is lower with Lr than with L; not supported where it is higher in "
        "one; undecided otherwise. Intervals hold for all places at once. Only where training has moved the plain "
        f"network's filters: its own excess is {100 * TRAINED:.0f} % or more of the random level.",
        quote=CONTROLLED,
        preliminary=f"Left out, since training hardly moved the plain filters (excess, as a share of the random "
        f"level): {', '.join(left_out)}."
        if left_out
        else "",
    )


def _from_l_to_lr(experiments: Sequence[Experiment], measure: _Measure) -> list[Filters]:
    """Lr compared with L wherever both have enough runs; all places of all experiments are one family of tests."""
    models, places, alphas = {}, {}, []
    for number, experiment in enumerate(experiments):
        if not {"L", "Lr"} <= evidence(experiment.config):
            continue
        runs = measure(experiment)
        for place in dict.fromkeys(cell.place for cell in experiment.cells):
            table = score_table(runs, place, ["L", "Lr"], "measured")
            if {"L", "Lr"} <= set(table) and table.notna().sum().min() >= MIN_RUNS:
                key = (f"{number}", "/".join(place))
                models[key], places[key] = fit(table, tested=tested_share(experiment.runs, place)), (experiment, place)
                alphas.append(experiment.config.statistics.alpha)
    margins = dict.fromkeys(models, Margin(math.nan, math.nan))
    pairs = [(key, ("Lr", "L")) for key in models]
    alpha = min(alphas, default=0.05)
    found = compare(models, pairs, margins, alpha, plan=False)
    means = {key: _mean(model, alpha / len(models)) for key, model in models.items()}
    return [Filters(*places[key], *means[key], found[key, pair]) for key, pair in pairs]


def _mean(model: Model, alpha: float) -> tuple[float, tuple[float, float]]:
    """The mean with Lr, and its interval."""
    i = model.variants.index("Lr")
    mean = float(model.means[i])
    half = float(-special.stdtrit(model.alone[1][i], alpha / 2) * model.alone[0][i] ** 0.5)
    return mean, (mean - half, mean + half)


def _layers(experiment: Experiment) -> pd.DataFrame:
    """The layers after training in which the primaries can be uncorrelated; P is that of L and Lr, of all variants."""
    layers = experiment.frames["layers"]
    layers = layers[layers["stage"] == "after"]
    own = layers[layers["variant"].isin(["L", "Lr"])]
    most = own.groupby(["dataset", "architecture", "layer"])["primaries"].max().rename("most").reset_index()
    layers = layers.merge(most, on=["dataset", "architecture", "layer"])
    return layers[layers["most"] <= layers["filter_size"] - 1]


def _per_run(experiment: Experiment, layers: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    """The mean over the layers of each run, in hundredths."""
    means = _SCALE * layers.assign(measured=values).dropna(subset=["measured"]).groupby(RUN)["measured"].mean()
    return experiment.runs[[*RUN, "status"]].merge(means.reset_index(), on=RUN, how="left")


def _primary_correlations(experiment: Experiment) -> pd.DataFrame:
    layers = _layers(experiment)
    return _per_run(experiment, layers, layers["primary_mean_abs_correlation"])


def _excess(experiment: Experiment) -> pd.DataFrame:
    layers = _layers(experiment)
    return _per_run(experiment, layers, layers["mean_abs_correlation"] - _random_level(layers))


def _random_level(layers: pd.DataFrame) -> pd.Series:
    """E |corr| of two independent filters of D normal values."""
    return (2 / math.pi / (layers["filter_size"] - 1)) ** 0.5


def _moved(found: Filters) -> float:
    """The excess of the plain network's filters as a share of the random level; 0 where it was not measured."""
    runs = _excess(found.experiment)
    plain = score_table(runs, found.place, ["conv"], "measured")
    layers = found.experiment.of_network(_layers(found.experiment), *found.place)
    if plain.empty:
        return 0.0
    return float(plain["conv"].mean() / _SCALE / _random_level(layers[layers["variant"] == "conv"]).mean())


def _verdict(found: Sequence[object], good: Sequence[bool], bad: Sequence[bool]) -> Verdict:
    if not found:
        return "not measured"
    return "not supported" if any(bad) else "supported" if all(good) else "undecided"


def _evidence(found: Sequence[Filters], what: str) -> str:
    if not found:
        return ""
    return f"{what}: {'; '.join(map(str, found))}. Of the paper's epochs the runs had {_epochs(found)}."


def _epochs(found: Sequence[Filters]) -> str:
    """Which share of the paper's epochs the runs had, by place."""
    shares = {f.place: share_of_epochs(f.experiment, *f.place) for f in found}
    texts = [f"{100 * share:.2g} % ({place_label(*place[::-1])})" for place, share in shares.items()]
    return ", ".join(texts)


def _runs(found: Sequence[Filters]) -> tuple[str, ...]:
    return tuple(dict.fromkeys("/".join((*f.place, variant)) for f in found for variant in ("L", "Lr")))
