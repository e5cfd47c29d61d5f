"""The result file of a profile: where the time of a call goes, by kind of operation."""

from __future__ import annotations

import statistics
from typing import Any, Literal

from linconv.results.record import SCHEMA_VERSION, Hash, NonNegative, Positive, Record, Share
from linconv.results.run import Provenance


class OperationTime(Record):
    """One operation of a kind, with all that it calls: `calls` and `milliseconds` are per call of the network."""

    kind: str
    operation: str
    calls: NonNegative
    milliseconds: NonNegative


class KindTime(Record):
    """The operations of one kind: milliseconds per call of the network, and as a share of all kinds."""

    kind: str
    milliseconds: NonNegative
    share: Share


class NetworkProfile(Record):
    """One network: per call without the profiler, one entry per round, and under it, by kind and by operation."""

    name: str
    seconds_per_call: tuple[NonNegative, ...]
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
    schema_version: Literal[2] = SCHEMA_VERSION
    architecture: str
    variant: str
    activity: Literal["inference", "training"]
    batch_size: Positive
    input_shape: tuple[Positive, Positive, Positive]
    classes: Positive
    channels_last: bool
    device: str
    profiled_calls: Positive
    code_hash: Hash
    networks: list[NetworkProfile]
    machine: dict[str, Any]
    provenance: Provenance
