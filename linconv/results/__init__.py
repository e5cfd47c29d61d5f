"""Result files: their schema, reading, writing, and the tidy frames made of them. Imports no torch."""

from linconv.results.data import DataContent
from linconv.results.files import atomic_path, remove_leftovers, write_result, write_text
from linconv.results.schema import (
    Complexity,
    ComplexityResult,
    EarlierProcess,
    Epoch,
    LayerComplexity,
    LayerRedundancy,
    Provenance,
    ResultError,
    RunMetrics,
    RunOutcomes,
    RunResult,
    RunWarning,
    read_result,
)

__all__ = [
    "Complexity",
    "ComplexityResult",
    "DataContent",
    "EarlierProcess",
    "Epoch",
    "LayerComplexity",
    "LayerRedundancy",
    "Provenance",
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
