"""The paper's claims (WACV 2021), each with a rule that decides it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from linconv.report.claims.model import Claim, Verdict
from linconv.report.labels import architecture_label, variant_label
from linconv.report.source import Experiment

PAPER = "paper"
HALF = (0.45, 0.60)  # "about half" of the plain network's parameters


def parameters_halved(experiments: Sequence[Experiment]) -> Claim:
    """Every variant has 0.45 to 0.60 of its network's parameters: supported; none: not supported; else undecided."""
    shares = parameter_shares(experiments)
    inside = shares.between(*HALF)
    verdict: Verdict = "not measured"
    if len(shares):
        verdict = "supported" if inside.all() else "undecided" if inside.any() else "not supported"
    outside = [
        f"{architecture_label(a)} {variant_label(v)} {share:.2f}"
        for (a, v), share in zip(shares.index[~inside], shares[~inside], strict=True)
    ]
    evidence = (
        f"{inside.sum()} of {len(shares)} networks with a variant have {HALF[0]} to {HALF[1]:.2f} of the parameters"
    )
    evidence += f"; outside: {', '.join(outside)}." if outside else "."
    return Claim(
        id="parameters-halved",
        statement="LinearConv about halves the parameters of a network.",
        source=PAPER,
        verdict=verdict,
        evidence=evidence if len(shares) else "No network was counted.",
        runs=(),
        rule=parameters_halved.__doc__ or "",
    )


def parameter_shares(experiments: Sequence[Experiment]) -> pd.Series:
    """Parameters relative to the plain network, by network and variant, each once."""
    shares = {}
    for experiment in experiments:
        for _, model in experiment.complexity.iterrows():
            plain = experiment.model(model["architecture"], "conv")
            if plain is not None and model["variant"] != "conv":
                shares[model["architecture"], model["variant"]] = model["params"] / plain["params"]
    index = pd.MultiIndex.from_tuples(shares, names=["architecture", "variant"]) if shares else None
    return pd.Series(shares.values(), index=index, dtype=float) if shares else pd.Series([math.nan]).dropna()
