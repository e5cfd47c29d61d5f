"""What the correlation regularizer adds to a training step, and the statistics of its samples."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from linconv.config import Config
from linconv.results.kinds._cells import GridKind
from linconv.results.kinds._kind import TidyRows
from linconv.results.kinds.throughput import quartiles
from linconv.results.origin import Provenance
from linconv.results.record import SCHEMA_VERSION, Hash, NonNegative, PositiveInt, Record

STEP, STEP_AGAIN, STEP_WITH = "step", "step again", "step with penalty"
PENALTY, BY_AUTOGRAD = "penalty", "penalty by autograd"


class TimedCall(Record):
    """Samples of one call: `seconds_per_call` has one entry per round, the mean over a block of `calls` calls."""

    name: str
    calls: PositiveInt
    seconds_per_call: tuple[NonNegative, ...]


class RegularizerResult(Record):
    """What the correlation regularizer of a variant adds to a training step, all arms timed against each other.

    `filters` are the (P, D) of every layer that it acts on. `machine` is the state before and after.
    """

    kind: Literal["regularizer"] = "regularizer"
    schema_version: Literal[2] = SCHEMA_VERSION
    architecture: str
    variant: str
    batch_size: PositiveInt
    period: PositiveInt
    filters: list[tuple[PositiveInt, PositiveInt]]
    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    classes: PositiveInt
    channels_last: bool
    device: str
    rounds_wanted: PositiveInt
    block_seconds: NonNegative
    grid_hash: Hash
    code_hash: Hash
    arms: list[TimedCall]
    machine: dict[str, Any]
    provenance: Provenance


class CallCost(NamedTuple):
    """One arm beside the step without the penalty of the same rounds.

    `ratio` is the median over rounds of arm / step in time, `low` and `high` are its quartiles. `averaged` is what the
    penalty takes of a step in the mean over its period, as a share of the step; None for steps without it.
    """

    name: str
    milliseconds: float
    ratio: float
    low: float
    high: float
    averaged: float | None


def call_costs(result: RegularizerResult) -> list[CallCost]:
    """The statistics of every arm, in the order of the file."""
    samples = {arm.name: np.asarray(arm.seconds_per_call) for arm in result.arms}
    out = []
    for name, seconds in samples.items():
        low, ratio, high = quartiles(seconds / samples[STEP])
        added = {STEP_WITH: ratio - 1, PENALTY: ratio, BY_AUTOGRAD: ratio}.get(name)
        averaged = None if added is None else added / result.period
        out.append(CallCost(name, 1e3 * float(np.median(seconds)), ratio, low, high, averaged))
    return out


def band(result: RegularizerResult) -> float:
    """The A/A band: the largest deviation from 1 of the second step's median and quartiles."""
    again = next(cost for cost in call_costs(result) if cost.name == STEP_AGAIN)
    return max(abs(ratio - 1) for ratio in (again.low, again.ratio, again.high))


class RegularizerKey(NamedTuple):
    """What one result is of."""

    architecture: str
    variant: str
    batch_size: int

    def __str__(self) -> str:
        """The name of the result file, without its ending."""
        return f"{self.architecture}_{self.variant}_b{self.batch_size}"


class RegularizerCosts(GridKind[RegularizerKey, RegularizerResult]):
    """regularizer/<key>.json: one network with one variant at one batch."""

    name = "regularizer"
    key = RegularizerKey
    lists = frozenset({"architectures", "variants", "batches"})
    columns: ClassVar = {
        "regularizer": [
            *RegularizerKey._fields,
            "channels_last",
            "device",
            "period",
            "layers",
            "arm",
            "samples",
            "milliseconds",
            "ratio",
            "ratio_low",
            "ratio_high",
            "band",
            "averaged",
            "torch",
            "hardware",
            "threads",
            "git_commit",
            "command",
        ]
    }
    missing = "not timed yet"

    def __init__(self) -> None:
        super().__init__(RegularizerResult)

    def plan(self, config: Config) -> list[RegularizerKey]:
        if (options := config.regularizer) is None:
            return []
        grid = itertools.product(options.batches, options.architectures, options.variants)
        return [RegularizerKey(architecture, variant, batch) for batch, architecture, variant in grid]

    def rows(self, results: Mapping[RegularizerKey, RegularizerResult]) -> TidyRows:
        rows = []
        for result in results.values():
            at = result.model_dump() | result.provenance.row() | {"layers": len(result.filters), "band": band(result)}
            for cost in call_costs(result):
                rows.append(
                    {
                        **at,
                        "arm": cost.name,
                        "samples": len(result.arms[0].seconds_per_call),
                        "milliseconds": cost.milliseconds,
                        "ratio": cost.ratio,
                        "ratio_low": cost.low,
                        "ratio_high": cost.high,
                        "averaged": cost.averaged,
                    }
                )
        return {"regularizer": rows}
