"""The result file of the correlation regulariser's cost, and the statistics of its samples."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from linconv.results.record import SCHEMA_VERSION, Hash, NonNegative, Positive, Record
from linconv.results.run import Provenance
from linconv.results.throughput import quartiles

STEP, STEP_AGAIN, STEP_WITH = "step", "step again", "step with penalty"
PENALTY, BY_AUTOGRAD = "penalty", "penalty by autograd"


class TimedCall(Record):
    """Samples of one call: `seconds_per_call` has one entry per round, the mean over a block of `calls` calls."""

    name: str
    calls: Positive
    seconds_per_call: tuple[NonNegative, ...]


class RegularizerResult(Record):
    """What the correlation regulariser of a variant adds to a training step, all arms timed against each other.

    `filters` are the (P, D) of every layer that it acts on. `machine` is the state before and after.
    """

    kind: Literal["regularizer"] = "regularizer"
    schema_version: Literal[2] = SCHEMA_VERSION
    architecture: str
    variant: str
    batch_size: Positive
    period: Positive
    filters: list[tuple[Positive, Positive]]
    input_shape: tuple[Positive, Positive, Positive]
    classes: Positive
    channels_last: bool
    device: str
    rounds_wanted: Positive
    block_seconds: NonNegative
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


def costs(result: RegularizerResult) -> list[CallCost]:
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
    again = next(cost for cost in costs(result) if cost.name == STEP_AGAIN)
    return max(abs(ratio - 1) for ratio in (again.low, again.ratio, again.high))
