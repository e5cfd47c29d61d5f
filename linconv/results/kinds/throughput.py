"""Timings of every form of a network, and the statistics of their samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np

from linconv.catalogue.measurements import Activity, Backend, Precision, ThroughputOptions
from linconv.config import Config
from linconv.results.kinds._cells import GridKind
from linconv.results.kinds._kind import TidyRows
from linconv.results.origin import Provenance
from linconv.results.record import SCHEMA_VERSION, Hash, NonNegative, NonNegativeInt, PositiveInt, Record, ResultError

PLAIN, PLAIN_AGAIN = "plain", "plain again"
Difference = Literal["faster", "slower", "no difference"]


class ThroughputKey(NamedTuple):
    """What one result file is of: its arms are timed against each other, arms of two files never."""

    architecture: str
    activity: Activity
    batch_size: int
    precision: Precision
    backend: Backend

    def __str__(self) -> str:
        """The name of the result file, without its ending."""
        return f"{self.architecture}_{self.activity}_b{self.batch_size}_{self.precision}_{self.backend}"


def plan_throughput(options: ThroughputOptions) -> list[ThroughputKey]:
    """Every result file, the most informative first.

    The first listed backend, precision and batch come first, then what differs from them in one place of one list,
    then what differs in two; networks and activities of the same conditions follow each other.
    """
    lists = (options.backends, options.precisions, options.batches)
    conditions = sorted(
        itertools.product(*lists), key=lambda c: sum(list(values).index(v) for values, v in zip(lists, c, strict=True))
    )
    return [
        ThroughputKey(architecture, activity, batch, precision, backend)
        for backend, precision, batch in conditions
        for activity, architecture in itertools.product(options.activities, options.architectures)
    ]


class Arm(Record):
    """The samples of one network in one form.

    `seconds_per_call` has one entry per round, the mean over a block of `calls` calls; empty unless `status` is ok.
    Peak memory, of a pass of its own over one warm call of each kind, is that of the network, its gradients, the
    optimizer's state, the images and what the call makes; reserved memory is known of CUDA devices only.
    """

    name: str
    variant: str
    form: str
    status: Literal["ok", "out of memory", "not supported"]
    detail: str = ""
    calls: NonNegativeInt = 0
    seconds_per_call: tuple[NonNegative, ...] = ()
    peak_allocated_mib: NonNegative | None = None
    peak_reserved_mib: NonNegative | None = None


class ThroughputResult(Record):
    """One cell: the plain network, the same again (A/A), and every variant and form, timed against each other.

    `rounds_wanted` are those of the configuration; the arms have as many samples as fitted into its time. `machine`
    is the state before and after: clocks in MHz, load average, other processes on the card.
    """

    kind: Literal["throughput"] = "throughput"
    schema_version: Literal[2] = SCHEMA_VERSION
    architecture: str
    activity: str
    batch_size: PositiveInt
    precision: str
    backend: str
    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    classes: PositiveInt
    channels_last: bool
    device: str
    rounds_wanted: PositiveInt
    block_seconds: NonNegative
    grid_hash: Hash
    code_hash: Hash
    arms: list[Arm]
    machine: dict[str, Any]
    provenance: Provenance


class Timing(NamedTuple):
    """One arm of a cell beside the plain network of the same rounds.

    `ratio` is the median over rounds of arm / plain in time per call, below 1 where the arm is faster; `low` and `high`
    are its quartiles, `from_` and `to` the ends of a distribution-free 95 % interval of the median (order statistics;
    NaN with fewer than six rounds). `band` is the A/A arm's: the largest deviation from 1 of its median and quartiles.
    A ratio within it is "no difference".
    """

    arm: Arm
    samples: int
    images_per_second: float
    latency_ms: float
    ratio: float
    low: float
    high: float
    from_: float
    to: float
    band: float
    difference: Difference


class TimedTogether(Protocol):
    """Arms that were timed against each other."""

    @property
    def architecture(self) -> str: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def arms(self) -> Sequence[Arm]: ...


def timings(cell: TimedTogether) -> list[Timing]:
    """The statistics of every arm of a cell that could be timed, the plain network first; none where none could.

    Raises:
        ResultError: the cell lacks one of the two plain arms, which it cannot be read without.
    """
    samples = {arm.name: np.asarray(arm.seconds_per_call) for arm in cell.arms if arm.status == "ok"}
    if not samples:
        return []
    if missing := {PLAIN, PLAIN_AGAIN} - samples.keys():
        raise ResultError(
            f"timing of {cell.architecture}, batch {cell.batch_size}: no samples of {' and '.join(sorted(missing))}"
        )
    plain = samples[PLAIN]
    band = max(abs(x - 1) for x in quartiles(samples[PLAIN_AGAIN] / plain))
    out = []
    for arm in cell.arms:
        if arm.status != "ok":
            continue
        seconds = samples[arm.name]
        low, ratio, high = quartiles(seconds / plain)
        from_, to = median_interval(seconds / plain)
        median = float(np.median(seconds))
        out.append(
            Timing(
                arm,
                samples=len(seconds),
                images_per_second=cell.batch_size / median,
                latency_ms=1e3 * median,
                ratio=ratio,
                low=low,
                high=high,
                from_=from_,
                to=to,
                band=band,
                difference="no difference" if abs(ratio - 1) <= band else "faster" if ratio < 1 else "slower",
            )
        )
    return out


def quartiles(values: np.ndarray) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(low), float(median), float(high)


def median_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The interval of a median between two order statistics, whatever the distribution; NaN with too few values.

    Source: Conover, Practical Nonparametric Statistics, 1999, section 3.2.
    """
    from scipy import special  # slow to import, and every start of the workflow reads this module

    # the binomial quantile: the least count that is not exceeded with at least this probability
    rank = int(np.argmax(special.bdtr(np.arange(len(values) + 1), len(values), 0.5) >= (1 - level) / 2))
    if rank < 1:
        return math.nan, math.nan
    ordered = np.sort(values)
    return float(ordered[rank - 1]), float(ordered[len(values) - rank])


class Timings(GridKind[ThroughputKey, ThroughputResult]):
    """throughput/<key>.json: one network at one batch in one activity, precision and backend."""

    name = "throughput"
    key = ThroughputKey
    lists = frozenset({"architectures", "batches", "activities", "precisions", "backends"})
    columns: ClassVar = {
        "throughput": [
            "architecture",
            "activity",
            "batch_size",
            "precision",
            "backend",
            "channels_last",
            "device",
            "hardware",
            "threads",
            "torch",
            "variant",
            "form",
            "status",
            "samples",
            "images_per_second",
            "latency_ms",
            "ratio",
            "ratio_low",
            "ratio_high",
            "median_low",
            "median_high",
            "band",
            "difference",
            "peak_allocated_mib",
            "peak_reserved_mib",
            "git_commit",
            "command",
        ]
    }
    missing = "not timed yet"

    def __init__(self) -> None:
        super().__init__(ThroughputResult)

    def plan(self, config: Config) -> list[ThroughputKey]:
        return [] if config.throughput is None else plan_throughput(config.throughput)

    def rows(self, results: Mapping[ThroughputKey, ThroughputResult]) -> TidyRows:
        return {"throughput": [row for result in results.values() for row in _rows(result)]}


def _rows(result: ThroughputResult) -> list[dict[str, Any]]:
    """A row per arm, with its statistics where it could be timed."""
    timed = {timing.arm.name: timing for timing in timings(result)}
    rows = []
    for arm in result.arms:
        row = result.model_dump() | arm.model_dump() | result.provenance.row()
        if found := timed.get(arm.name):
            row |= {name: getattr(found, name) for name in ("samples", "images_per_second", "latency_ms", "ratio")}
            row |= {"ratio_low": found.low, "ratio_high": found.high, "band": found.band}
            if not math.isnan(found.from_):
                row |= {"median_low": found.from_, "median_high": found.to}
            row |= {"difference": found.difference if arm.name != PLAIN else None}
        rows.append(row)
    return rows
