"""Claims about parameters and operations. Counts are exact, so one exception decides against a general claim."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from linconv.catalogue.networks import NETWORKS
from linconv.report.claims.model import HALF as HALF_QUOTE
from linconv.report.claims.model import NOT_COUNTED, OURS, PAPER, SAME_AT_INFERENCE, Claim, Verdict
from linconv.report.claims.scope import evidence
from linconv.report.labels import architecture_label, variant_of
from linconv.report.source import Experiment

ABOUT_HALF = (0.45, 0.60)  # "about half"; the first convolution and the classifier stay above
_SHARES, _MOST = "{:g} to {:g}".format(*ABOUT_HALF), ABOUT_HALF[1]
HALVED = tuple(name for name, network in NETWORKS.items() if network.halves)
# those of the paper's Table 1
PUBLISHED = ("base", "vgg11", "allconv", "resnet18", "resnext29", "mobilenetv2")
MIN_NETWORKS = 2  # a claim about a kind of network needs more than one example


class Ratio(NamedTuple):
    """A count of a network with a variant relative to the plain network; `low_rank` says which coefficients it has."""

    architecture: str
    variant: str
    low_rank: bool
    value: float

    def __str__(self) -> str:
        return f"{variant_of(self.architecture, self.variant)} {self.value:.2f}"


def ratios(experiments: Sequence[Experiment], column: str) -> list[Ratio]:
    """A column of complexity.csv relative to Conv's, for every network with full or low-rank coefficients, once each.

    Only of the paper's layer, and not of sparse coefficients: their zeros are stored, but not learned.
    """
    found: dict[tuple[str, str], Ratio] = {}
    for experiment in experiments:
        known, allowed = experiment.config.known_variants, evidence(experiment.config)
        for _, model in experiment.complexity.iterrows():
            architecture, variant = model["architecture"], model["variant"]
            plain = experiment.model(architecture, "conv")
            options = known[variant].linear if variant in allowed else None
            if plain is None or options is None or options.sparsity is not None:
                continue
            value = float(model[column] / plain[column])
            found.setdefault((architecture, variant), Ratio(architecture, variant, options.rank is not None, value))
    return list(found.values())


def _bounded(found: Sequence[Ratio], low: float, high: float, what: str) -> tuple[Verdict, str]:
    """The verdict on a bound that every network has to keep with all its variants, and how many networks do."""
    if not found:
        return "not measured", NOT_COUNTED
    outside = [r for r in found if not low <= r.value <= high]
    networks, others = ({r.architecture for r in ratios} for ratios in (found, outside))
    values = [r.value for r in found]
    text = f"{len(networks) - len(others)} of {_networks(len(networks))} have {low:g} to {high:g} of {what}"
    text += f" (from {min(values):.2f} to {max(values):.2f})"
    text += f"; outside: {', '.join(map(str, outside))}." if outside else "."
    return _verdict(found, outside), text


def half_the_parameters(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Parameters reduced by about half, for full and for low-rank coefficients, on average and in every network."""
    for low_rank, id_, names in (
        (False, "parameters-full", "full coefficients (L, Lr)"),
        (True, "parameters-low-rank", "low-rank coefficients (LRr)"),
    ):
        found = _one_per_network([r for r in ratios(experiments, "params") if r.low_rank is low_rank])
        published = [r for r in found if r.architecture in PUBLISHED]
        mean = sum(r.value for r in published) / len(published) if published else 0.0
        missing = [a for a in PUBLISHED if a not in {r.architecture for r in published}]
        yield Claim(
            f"{id_}-on-average",
            f"LinearConv with {names} reduces the parameters by about half, on average over the paper's networks.",
            PAPER,
            _verdict(published, [] if ABOUT_HALF[0] <= mean <= ABOUT_HALF[1] else [mean])
            if not missing
            else _too_few(published),
            _on_average(published, mean, missing),
            rule=f"Supported where the mean over the paper's {len(PUBLISHED)} networks is {_SHARES} "
            "of the plain network's parameters, not supported where it is not; undecided where some are not counted.",
            quote=HALF_QUOTE,
        )
        verdict, text = _bounded(found, *ABOUT_HALF, "Conv's parameters")
        if verdict == "supported" and missing:
            verdict = "undecided"
        yield Claim(
            f"{id_}-in-every-network",
            f"LinearConv with {names} reduces the parameters of every network by about half.",
            PAPER,
            verdict,
            f"{text}{_not_counted(missing)}",
            rule=f"Supported where all of the paper's {len(PUBLISHED)} networks are counted and every network counted "
            f"has {_SHARES} of the plain network's parameters, not supported where one has not. The strict reading of "
            "the sentence.",
            quote=HALF_QUOTE,
        )


def _one_per_network(found: Sequence[Ratio]) -> list[Ratio]:
    """The largest of each network: L and Lr have equal counts."""
    return list({r.architecture: r for r in sorted(found, key=lambda r: r.value)}.values())


def _too_few(counted: Collection[object]) -> Verdict:
    return "undecided" if counted else "not measured"


def _on_average(found: Sequence[Ratio], mean: float, missing: Sequence[str]) -> str:
    if not found:
        return NOT_COUNTED
    listed = ", ".join(f"{architecture_label(r.architecture)} {r.value:.2f}" for r in found)
    return f"Mean {mean:.2f} of Conv's parameters over {_networks(len(found))}: {listed}.{_not_counted(missing)}"


def _not_counted(missing: Sequence[str]) -> str:
    return f" Not counted: {', '.join(map(architecture_label, missing))}." if missing else ""


def _networks(count: int) -> str:
    return f"{count} network{'s' * (count != 1)}"


def inference(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """The same computation and speed at inference."""
    macs, params = ratios(experiments, "macs_folded"), ratios(experiments, "params_folded")
    others = [r for r in (*macs, *params) if r.value != 1]
    if others:
        same = f"these differ from Conv: {', '.join(map(str, others))}."
    else:
        same = "all have Conv's MACs and parameters."
    yield Claim(
        "inference-computation",
        "At inference a LinearConv network computes as much as the plain one.",
        PAPER,
        _verdict(macs, others),
        f"{_networks(len({r.architecture for r in macs}))} counted, {len(macs)} with their variants; folded, {same}"
        if macs
        else NOT_COUNTED,
        rule="Supported where multiply-accumulates and parameters of every network folded into plain convolutions "
        "equal the plain network's. By the definition of folding, so this checks the code.",
        quote=SAME_AT_INFERENCE,
    )


def training_overhead(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Low rank cuts the overhead of building the filters in training."""
    found = ratios(experiments, "macs_train_weight")
    full, low = ({r.architecture: r.value for r in found if r.low_rank is kind} for kind in (False, True))
    both = [a for a in full if a in low]
    parts = [f"{architecture_label(a)} {100 * (full[a] - 1):.1f} % to {100 * (low[a] - 1):.1f} %" for a in both]
    text = f"Multiply-accumulates of a training step above Conv's, full to low rank: {', '.join(parts)}."
    yield Claim(
        "low-rank-overhead",
        "Low-rank coefficients cut the overhead of training in weight space.",
        PAPER,
        _verdict(both, [a for a in both if low[a] >= full[a]]),
        f"{text} Operations, not time." if both else NOT_COUNTED,
        rule="Supported where a training step in weight space needs fewer multiply-accumulates with low-rank than with "
        "full coefficients in every network counted.",
    )


def _verdict(counted: Collection[object], against: Collection[object]) -> Verdict:
    if not counted:
        return "not measured"
    return "not supported" if against else "supported"


def feature_space(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Ours: about half the multiply-accumulates in feature space."""
    found = [r for r in ratios(experiments, "macs_feature") if r.architecture in HALVED]
    verdict, text = _bounded(found, *ABOUT_HALF, "Conv's multiply-accumulates")
    networks = ", ".join(map(architecture_label, HALVED))
    yield Claim(
        "feature-space-macs",
        "In feature space, networks of ungrouped 3x3 convolutions need about half of the multiply-accumulates.",
        OURS,
        verdict,
        text,
        rule=f"Supported where {networks}, as far as counted, have {_SHARES} of the plain "
        "network's multiply-accumulates per image, not supported where one has not.",
    )


def no_gain(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Ours: where LinearConv does not pay."""
    params, macs = (_dearest(ratios(experiments, column)) for column in ("params", "macs_feature"))
    both = {a: (params[a], macs[a]) for a in params if a in macs}
    half = [a for a, (p, m) in both.items() if p.value <= ABOUT_HALF[1] or m.value <= ABOUT_HALF[1]]
    verdict = _verdict(both, half)
    if verdict == "supported" and len(both) < MIN_NETWORKS:
        verdict = "undecided"
    yield Claim(
        "where-it-does-not-pay",
        "Full coefficients do not halve networks of 1x1, grouped or depthwise convolutions: they save less there, "
        "or cost more than they save.",
        OURS,
        verdict,
        _evidence_of_no_gain(both),
        rule=f"Over the networks other than {', '.join(map(architecture_label, HALVED))}: supported where "
        f"{MIN_NETWORKS} or more were counted and each has more than {_MOST:g} of the plain network's parameters and "
        f"more than {_MOST:g} of its multiply-accumulates in feature space; not supported where one has not; "
        "undecided with fewer networks.",
    )


def _evidence_of_no_gain(both: Mapping[str, tuple[Ratio, Ratio]]) -> str:
    if not both:
        return "No network of 1x1, grouped or depthwise convolutions with full coefficients was counted."
    listed = ", ".join(f"{params} and {macs.value:.2f}" for params, macs in both.values())
    dear = ", ".join(architecture_label(a) for a, (p, m) in both.items() if max(p.value, m.value) > 1)
    return (
        f"Parameters and multiply-accumulates in feature space, relative to Conv's: {listed}. "
        f"More than Conv's in one of both: {dear or 'none'}."
    )


def _dearest(found: Sequence[Ratio]) -> dict[str, Ratio]:
    """The largest ratio with full coefficients of each network that is not of ungrouped 3x3 convolutions."""
    full = [r for r in found if not r.low_rank and r.architecture not in HALVED]
    return {r.architecture: r for r in sorted(full, key=lambda r: r.value)}
