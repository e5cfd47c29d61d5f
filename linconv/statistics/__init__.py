"""The models and tests behind every verdict; imports numpy, pandas and scipy alone."""

from __future__ import annotations

from linconv.statistics.comparison import (
    MIN_RUNS,
    MIN_SPLITS,
    UNTESTED,
    Comparison,
    Margin,
    TestOutcome,
    compare,
    differing,
    hypotheses,
    open_verdicts,
)
from linconv.statistics.fitting import fit
from linconv.statistics.joint import fit_networks
from linconv.statistics.model import Error, ImageVariance, Model
from linconv.statistics.pairs import McNemar, holm, mcnemar, mcnemar_over_pairs
from linconv.statistics.spread import NO_ERROR, Spread, accuracy_interval, spread

__all__ = [
    "MIN_RUNS",
    "MIN_SPLITS",
    "NO_ERROR",
    "UNTESTED",
    "Comparison",
    "Error",
    "ImageVariance",
    "Margin",
    "McNemar",
    "Model",
    "Spread",
    "TestOutcome",
    "accuracy_interval",
    "compare",
    "differing",
    "fit",
    "fit_networks",
    "holm",
    "hypotheses",
    "mcnemar",
    "mcnemar_over_pairs",
    "open_verdicts",
    "spread",
]
