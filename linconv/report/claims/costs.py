"""Claims about parameters and operations. Counts are exact, so one exception decides against a general claim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from linconv.config import VARIANTS
from linconv.report.claims.model import OURS, PAPER, Claim, Verdict
from linconv.report.claims.scope import evidence
from linconv.report.labels import architecture_label, variant_of
from linconv.report.paper import Comparison, compare_columns
from linconv.report.source import Experiment

HALF = (0.45, 0.60)  # "about half" of the parameters
HALF_MACS = (0.45, 0.65)  # of the multiply-accumulates; the first convolution and the classifier always stay above
UNGROUPED = ("base", "vgg11", "allconv", "resnet18")  # networks of 3x3 convolutions with groups = 1
MIN_NETWORKS = 2  # a claim about a kind of network needs more than one example
_NOTHING = "No network with a variant was counted."


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
    if not found:
        return "not measured", _NOTHING
    outside = [r for r in found if not low <= r.value <= high]
    values = [r.value for r in found]
    text = f"{len(found) - len(outside)} of {len(found)} networks with a variant have {low:g} to {high:g} of {what}"
    text += f" (from {min(values):.2f} to {max(values):.2f})"
    text += f"; outside: {', '.join(map(str, outside))}." if outside else "."
    return ("not supported" if outside else "supported"), text


def parameters(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Parameters reduced by about half, for full and for low-rank coefficients."""
    found = ratios(experiments, "params")
    for low_rank, id_, names in (
        (False, "parameters-full", "full coefficients (L, Lr)"),
        (True, "parameters-low-rank", "low-rank coefficients (LRr)"),
    ):
        own = [r for r in found if r.low_rank is low_rank]
        verdict, evidence = _bounded(own, *HALF, "Conv's parameters")
        yield Claim(
            id_,
            f"LinearConv with {names} reduces the parameters of a network by about half.",
            PAPER,
            verdict,
            evidence,
            rule=f"Supported where every network counted has {HALF[0]:g} to {HALF[1]:g} of the plain network's "
            "parameters, not supported where one has not.",
        )


def inference(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """The same computation and speed at inference."""
    macs, params = ratios(experiments, "macs_folded"), ratios(experiments, "params_folded")
    others = [r for r in (*macs, *params) if r.value != 1]
    verdict: Verdict = "not measured" if not macs else "not supported" if others else "supported"
    text = f"{len(macs)} networks with a variant counted; folded, "
    text += (
        f"these differ from Conv: {', '.join(map(str, others))}." if others else "all have Conv's MACs and parameters."
    )
    yield Claim(
        "inference-computation",
        "At inference a LinearConv network computes as much as the plain one.",
        PAPER,
        verdict,
        text if macs else _NOTHING,
        rule="Supported where multiply-accumulates and parameters of every network folded into plain convolutions "
        "equal the plain network's. By the definition of folding, so this checks the code.",
    )


def training_overhead(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Low rank cuts the overhead of building the filters in training."""
    found = ratios(experiments, "macs_train_weight")
    full = {r.architecture: r for r in found if not r.low_rank}
    low = {r.architecture: r for r in found if r.low_rank}
    both = [a for a in full if a in low]
    worse = [a for a in both if low[a].value >= full[a].value]
    verdict: Verdict = "not measured" if not both else "not supported" if worse else "supported"
    parts = [
        f"{architecture_label(a)} {100 * (full[a].value - 1):.1f} % to {100 * (low[a].value - 1):.1f} %" for a in both
    ]
    yield Claim(
        "low-rank-overhead",
        "Low-rank coefficients cut the overhead of training in weight space.",
        PAPER,
        verdict,
        f"Multiply-accumulates of a training step above Conv's, full to low rank: {', '.join(parts)}. Operations, not "
        "time."
        if both
        else _NOTHING,
        rule="Supported where a training step in weight space needs fewer multiply-accumulates with low-rank than with "
        "full coefficients in every network counted.",
    )


def feature_space(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Ours: about half the multiply-accumulates in feature space."""
    found = [r for r in ratios(experiments, "macs_feature") if r.architecture in UNGROUPED]
    verdict, evidence = _bounded(found, *HALF_MACS, "Conv's multiply-accumulates")
    networks = ", ".join(map(architecture_label, UNGROUPED))
    yield Claim(
        "feature-space-macs",
        "In feature space, networks of ungrouped 3x3 convolutions need about half of the multiply-accumulates.",
        OURS,
        verdict,
        evidence,
        rule=f"Supported where {networks}, as far as counted, have {HALF_MACS[0]:g} to {HALF_MACS[1]:g} of the plain "
        "network's multiply-accumulates per image, not supported where one has not.",
    )


def no_gain(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Ours: where LinearConv does not pay."""
    params, macs = (_dearest(ratios(experiments, column)) for column in ("params", "macs_feature"))
    both = [a for a in params if a in macs]
    half = [a for a in both if params[a].value <= HALF[1] or macs[a].value <= HALF_MACS[1]]
    dear = [architecture_label(a) for a in both if max(params[a].value, macs[a].value) > 1]
    verdict: Verdict = "not measured" if not both else "undecided" if len(both) < MIN_NETWORKS else "supported"
    if half:
        verdict = "not supported"
    listed = [f"{params[a]} and {macs[a].value:.2f}" for a in both]
    yield Claim(
        "where-it-does-not-pay",
        "Full coefficients do not halve networks of 1x1, grouped or depthwise convolutions: they save less there, "
        "or cost more than they save.",
        OURS,
        verdict,
        f"Parameters and multiply-accumulates in feature space, relative to Conv's: {', '.join(listed)}. More than "
        f"Conv's in one of both: {', '.join(dear) or 'none'}."
        if both
        else "No network of 1x1, grouped or depthwise convolutions with full coefficients was counted.",
        rule=f"Over the networks other than {', '.join(map(architecture_label, UNGROUPED))}: supported where "
        f"{MIN_NETWORKS} or more were counted and each has more than {HALF[1]:g} of the plain network's parameters and "
        f"more than {HALF_MACS[1]:g} of its multiply-accumulates in feature space; not supported where one has not; "
        "undecided with fewer networks.",
    )


def _dearest(found: Sequence[Ratio]) -> dict[str, Ratio]:
    """The largest ratio with full coefficients of each network that is not of ungrouped 3x3 convolutions."""
    full = [r for r in found if not r.low_rank and r.architecture not in UNGROUPED]
    return {r.architecture: r for r in sorted(full, key=lambda r: r.value)}


def printed_columns(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """The paper's parameter and FLOP columns come out of the definitions."""
    best = max((_as_published(e) for e in experiments), key=_equal, default=[])
    counted = [c for c in best if c.equal != "missing"]
    wrong = [c for c in counted if c.equal == "no"]
    verdict: Verdict = "not measured" if not counted else "not supported" if wrong else "supported"
    if counted and not wrong and len(counted) < len(best):
        verdict = "undecided"
    quirks = sum(c.equal in ("as released", "truncated") for c in counted)
    yield Claim(
        "printed-columns",
        "The paper's columns of parameters and FLOPs follow from its networks.",
        PAPER,
        verdict,
        f"{_equal(best)} of {len(best)} printed cells come out to the printed digits, {quirks} of them only with a "
        "quirk "
        f"of the released code or of the print; {len(wrong)} differ, {len(best) - len(counted)} were not counted."
        if counted
        else _NOTHING,
        rule="Supported where all cells are counted and equal, quirks that are named included; undecided where some "
        "are "
        "not counted.",
    )


def _as_published(experiment: Experiment) -> list[Comparison]:
    """The printed cells beside ours; those whose variant the configuration defines otherwise count as missing."""
    known = experiment.config.known_variants
    changed = {name for name, variant in VARIANTS.items() if known[name] != variant}
    return [c._replace(equal="missing") if c.variant in changed else c for c in compare_columns(experiment)]


def _equal(cells: Sequence[object]) -> int:
    return sum(getattr(c, "equal", "") in ("yes", "as released", "truncated") for c in cells)
