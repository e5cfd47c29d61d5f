"""Where the time of a call goes, by kind of operation."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from linconv.catalogue.measurements import Activity
from linconv.config import Config
from linconv.results.kinds._cells import GridKind
from linconv.results.kinds._kind import TidyRows
from linconv.results.origin import Provenance
from linconv.results.record import SCHEMA_VERSION, Hash, NonNegative, PositiveInt, Record, UnitInterval


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
    share: UnitInterval


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

    Of every kind of call (steps with and without regularizers are two) `profiled_calls` were profiled, and the
    quickest is kept: the one that others disturbed least.
    """

    kind: Literal["profile"] = "profile"
    schema_version: Literal[2] = SCHEMA_VERSION
    architecture: str
    variant: str
    activity: Literal["inference", "training"]
    batch_size: PositiveInt
    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    classes: PositiveInt
    channels_last: bool
    device: str
    profiled_calls: PositiveInt
    grid_hash: Hash
    code_hash: Hash
    networks: list[NetworkProfile]
    machine: dict[str, Any]
    provenance: Provenance


class ProfileKey(NamedTuple):
    """What one profile is of."""

    architecture: str
    variant: str
    activity: Activity
    batch_size: int

    def __str__(self) -> str:
        """The name of the result file, without its ending."""
        return f"{self.architecture}_{self.variant}_{self.activity}_b{self.batch_size}"


class Profiles(GridKind[ProfileKey, ProfileResult]):
    """profile/<key>.json: one network, plain and with one variant, at one batch in one activity."""

    name = "profile"
    key = ProfileKey
    lists = frozenset({"architectures", "variants", "batches", "activities"})
    columns: ClassVar = {
        "profile": [
            *ProfileKey._fields,
            "channels_last",
            "device",
            "network",
            "operations",
            "milliseconds",
            "share",
            "unprofiled_milliseconds",  # of the whole call, without the profiler
            "torch",
            "hardware",
            "threads",
            "git_commit",
            "command",
        ]
    }

    def __init__(self) -> None:
        super().__init__(ProfileResult)

    def plan(self, config: Config) -> list[ProfileKey]:
        if (options := config.profile) is None:
            return []
        grid = itertools.product(options.batches, options.activities, options.architectures, options.variants)
        return [ProfileKey(architecture, variant, activity, batch) for batch, activity, architecture, variant in grid]

    def rows(self, results: Mapping[ProfileKey, ProfileResult]) -> TidyRows:
        rows = []
        for result in results.values():
            for network in result.networks:
                at = result.model_dump() | result.provenance.row() | {"network": network.name}
                at |= {"unprofiled_milliseconds": network.milliseconds}
                rows += [
                    {**at, "operations": kind.kind, "milliseconds": kind.milliseconds, "share": kind.share}
                    for kind in network.kinds
                ]
        return {"profile": rows}
