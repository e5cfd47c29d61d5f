"""Timings of exported networks in engines on the CPU."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from linconv.config import Config
from linconv.results.kinds._cells import GridKind
from linconv.results.kinds._kind import TidyRows
from linconv.results.kinds.throughput import PLAIN, Arm, timings
from linconv.results.origin import Provenance
from linconv.results.record import SCHEMA_VERSION, Hash, NonNegative, NonNegativeInt, PositiveInt, Record


class DeploymentKey(NamedTuple):
    """What one result file is of: its arms are timed against each other."""

    architecture: str
    batch_size: int
    precision: str
    engine: str

    def __str__(self) -> str:
        """The name of the result file, without its ending."""
        return f"{self.architecture}_b{self.batch_size}_{self.precision}_{self.engine}"


class DeployedArm(Arm):
    """An exported network: the size of its file, and how far its outputs are from the network's in fp32.

    `deviation` is the largest difference as a share of the largest output, on random images.
    """

    file_bytes: NonNegativeInt | None = None
    deviation: NonNegative | None = None


class DeploymentResult(Record):
    """One cell: the plain network, the same again (A/A), and every variant and form, in one engine."""

    kind: Literal["deployment"] = "deployment"
    schema_version: Literal[2] = SCHEMA_VERSION
    architecture: str
    batch_size: PositiveInt
    precision: str
    engine: str
    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    classes: PositiveInt
    channels_last: bool
    device: Literal["cpu"] = "cpu"
    rounds_wanted: PositiveInt
    block_seconds: NonNegative
    grid_hash: Hash
    code_hash: Hash
    arms: list[DeployedArm]
    machine: dict[str, Any]
    provenance: Provenance


class Deployments(GridKind[DeploymentKey, DeploymentResult]):
    """deployment/<key>.json: one network at one batch in one precision and engine."""

    name = "deployment"
    key = DeploymentKey
    lists = frozenset({"architectures", "batches", "engines", "precisions"})
    trains = False
    columns: ClassVar = {
        "deployment": [
            *DeploymentKey._fields,
            "channels_last",
            "device",
            "hardware",
            "threads",
            "torch",
            "engine_version",
            "variant",
            "form",
            "status",
            "samples",
            "latency_ms",
            "ratio",
            "ratio_low",
            "ratio_high",
            "band",
            "difference",
            "file_bytes",
            "deviation",
            "git_commit",
            "command",
        ]
    }
    missing = "not timed yet"

    def __init__(self) -> None:
        super().__init__(DeploymentResult)

    def plan(self, config: Config) -> list[DeploymentKey]:
        """Every cell; PyTorch itself runs no int8 here."""
        if (options := config.deployment) is None:
            return []
        grid = itertools.product(options.precisions, options.engines, options.batches, options.architectures)
        keys = [DeploymentKey(network, batch, precision, engine) for precision, engine, batch, network in grid]
        return [key for key in keys if (key.engine, key.precision) != ("torch", "int8")]

    def rows(self, results: Mapping[DeploymentKey, DeploymentResult]) -> TidyRows:
        return {"deployment": [row for result in results.values() for row in _rows(result)]}


def _rows(result: DeploymentResult) -> list[dict[str, Any]]:
    timed = {timing.arm.name: timing for timing in timings(result)}
    rows = []
    for arm in result.arms:
        row = result.model_dump() | arm.model_dump() | result.provenance.row()
        row["engine_version"] = result.provenance.versions.get(result.engine)
        if found := timed.get(arm.name):
            row |= {name: getattr(found, name) for name in ("samples", "latency_ms", "ratio", "band")}
            row |= {"ratio_low": found.low, "ratio_high": found.high}
            row |= {"difference": found.difference if arm.name != PLAIN else None}
        rows.append(row)
    return rows
