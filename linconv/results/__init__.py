"""Result files: their records, reading and writing, and the tidy tables made of them. Imports no torch.

The names below are loaded when first used: whoever counts a network needs the record of its counts, and no pydantic.
"""

from typing import TYPE_CHECKING, Any

from linconv._extras import load_public

if TYPE_CHECKING:
    from linconv.results.counts import Complexity, LayerComplexity
    from linconv.results.data import DataContent
    from linconv.results.files import atomic_path, remove_leftovers, write_result, write_text
    from linconv.results.kinds.complexity import ComplexityResult
    from linconv.results.kinds.run_record import (
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

_PLACES = {
    "counts": ("Complexity", "LayerComplexity"),
    "data": ("DataContent",),
    "files": ("atomic_path", "remove_leftovers", "write_result", "write_text"),
    "kinds.complexity": ("ComplexityResult",),
    "kinds.run_record": (
        "Epoch",
        "LayerRedundancy",
        "RateChoice",
        "RateTrial",
        "RunMetrics",
        "RunOutcomes",
        "RunResult",
        "RunWarning",
    ),
    "origin": ("EarlierProcess", "Provenance"),
    "reading": ("read_result",),
    "record": ("ResultError",),
}


def __getattr__(name: str) -> Any:
    return load_public(__name__, _PLACES, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
