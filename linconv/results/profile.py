"""The result file of a profile: where the time of a call goes, by kind of operation."""

from __future__ import annotations

import statistics
from typing import Any, Literal

from linconv.results.schema import SCHEMA_VERSION, Provenance, Record


class OperationTime(Record):
    """One operation of a kind, with all that it calls: `calls` and `milliseconds` are per call of the network."""

    kind: str
    operation: str
    calls: float
    milliseconds: float


class KindTime(Record):
    """The operations of one kind: milliseconds per call of the network, and as a share of all kinds."""

    kind: str
    milliseconds: float
    share: float


class NetworkProfile(Record):
    """One network: per call without the profiler, one entry per round, and under it, by kind and by operation."""

    name: str
    seconds_per_call: tuple[float, ...]
    kinds: list[KindTime]
    operations: list[OperationTime]

    @property
    def milliseconds(self) -> float:
        """The median time of a call without the profiler."""
        return 1e3 * statistics.median(self.seconds_per_call)

    @property
    def profiled_milliseconds(self) -> float:
        """The sum of all kinds."""
        return sum(kind.milliseconds for kind in self.kinds)


class ProfileResult(Record):
    """A profile of the plain network and of a variant in its form auto.

    Of every kind of call (steps with and without regularisers are two) `profiled_calls` were profiled, and the
    quickest is kept: the one that others disturbed least.
    """

    kind: Literal["profile"] = "profile"
    schema_version: Literal[1] = SCHEMA_VERSION
    architecture: str
    variant: str
    activity: Literal["inference", "training"]
    batch_size: int
    input_shape: tuple[int, int, int]
    classes: int
    channels_last: bool
    device: str
    profiled_calls: int
    code_hash: str
    networks: list[NetworkProfile]
    machine: dict[str, Any]
    provenance: Provenance
