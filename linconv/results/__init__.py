"""Result files: their records, reading and writing, and the tidy tables made of them. Imports no torch."""

from linconv.results.data import DataContent
from linconv.results.files import atomic_path, remove_leftovers, write_result, write_text
from linconv.results.kinds.complexity import Complexity, ComplexityResult, LayerComplexity
from linconv.results.kinds.run import (
    Epoch,
    LayerRedundancy,
    RateChoice,
    RateTrial,
    RunMetrics,
    RunOutcomes,
    RunResult,
    RunWarning,
)
from linconv.results.origin import EarlierProcess, Provenance
from linconv.results.reading import read_result
from linconv.results.record import ResultError

__all__ = [
    "Complexity",
    "ComplexityResult",
    "DataContent",
    "EarlierProcess",
    "Epoch",
    "LayerComplexity",
    "LayerRedundancy",
    "Provenance",
    "RateChoice",
    "RateTrial",
    "ResultError",
    "RunMetrics",
    "RunOutcomes",
    "RunResult",
    "RunWarning",
    "atomic_path",
    "read_result",
    "remove_leftovers",
    "write_result",
    "write_text",
]
