"""Result files of timings, and the statistics of their samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from linconv.config import Variant
from linconv.config.runs import digest
from linconv.config.throughput import ThroughputOptions
from linconv.results.reading import read_result
from linconv.results.record import SCHEMA_VERSION, Count, Hash, NonNegative, Positive, Record, ResultError
from linconv.results.run import Provenance

PLAIN, PLAIN_AGAIN = "plain", "plain again"
Difference = Literal["faster", "slower", "no difference"]


class Arm(Record):
    """The samples of one network in one form.

    `seconds_per_call` has one entry per round, the mean over a block of `calls` calls; empty unless `status` is ok.
    Peak memory, of a pass of its own over one warm call of each kind, is that of the network, its gradients, the
    optimiser's state, the images and what the call makes; reserved memory is known of CUDA devices only.
    """

    name: str
    variant: str
    form: str
    status: Literal["ok", "out of memory", "not supported"]
    detail: str = ""
    calls: Count = 0
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
    batch_size: Positive
    precision: str
    backend: str
    input_shape: tuple[Positive, Positive, Positive]
    classes: Positive
    channels_last: bool
    device: str
    rounds_wanted: Positive
    block_seconds: NonNegative
    grid_hash: Hash
    code_hash: Hash
    arms: list[Arm]
    machine: dict[str, Any]
    provenance: Provenance


class Timing(NamedTuple):
    """One arm of a cell beside the plain network of the same rounds.

    `ratio` is the median over rounds of arm / plain in time per call, below 1 where the arm is faster; `low` and `high`
    are its quartiles. `band` is the A/A arm's: the largest deviation from 1 of its median and quartiles. A ratio
    within it is "no difference".
    """

    arm: Arm
    samples: int
    images_per_second: float
    latency_ms: float
    ratio: float
    low: float
    high: float
    band: float
    difference: Difference


def timings(cell: ThroughputResult) -> list[Timing]:
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
        median = float(np.median(seconds))
        out.append(
            Timing(
                *(arm, len(seconds), cell.batch_size / median, 1e3 * median, ratio, low, high, band),
                difference="no difference" if abs(ratio - 1) <= band else "faster" if ratio < 1 else "slower",
            )
        )
    return out


class Problem(NamedTuple):
    """Why a cell cannot be used."""

    reason: Literal["missing", "damaged", "stale"]
    detail: str


def read_cells(folder: Path, names: Sequence[str], grid_hash: str) -> tuple[list[ThroughputResult], dict[str, Problem]]:
    """The cells of these names in a folder, and by name why the others cannot be used: missing, damaged, stale."""
    cells: list[ThroughputResult] = []
    problems: dict[str, Problem] = {}
    for name in names:
        path = folder / f"{name}.json"
        if not path.exists():
            problems[name] = Problem("missing", "not timed yet")
            continue
        try:
            cell = read_result(path, ThroughputResult)
        except ResultError as error:
            problems[name] = Problem("damaged", str(error).removeprefix(f"{path}: "))
            continue
        if cell.grid_hash != grid_hash:
            problems[name] = Problem(
                "stale", f"timed for grid {cell.grid_hash}, this one is {grid_hash}; time it again"
            )
            continue
        cells.append(cell)
    return cells, problems


def quartiles(values: np.ndarray) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(low), float(median), float(high)


def throughput_hash(options: ThroughputOptions, variants: Mapping[str, Variant]) -> str:
    """16 hexadecimal digits that change with all that decides how a cell is timed, and not with the list of cells."""
    how = options.model_dump(mode="json", exclude={"architectures", "batches", "activities", "precisions", "backends"})
    return digest({"how": how, "variants": {v: variants[v].identity() for v in options.variants}})
