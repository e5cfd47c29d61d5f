"""Tidy rows of what is measured of one network or one device, whatever the grid of an experiment.

The files of a kind lie in the experiment's folder: results/<experiment>/profile.json or profile/*.json.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linconv.results.correctness import CorrectnessResult
from linconv.results.profile import ProfileResult
from linconv.results.record import Record, ResultError
from linconv.results.regularizer import RegularizerResult, band, costs
from linconv.results.run import Provenance
from linconv.results.schema import read_result
from linconv.results.sensitivity import SensitivityResult

Row = dict[str, Any]


@dataclass(frozen=True)
class MeasuredKind:
    """A kind of measurement: its result file, the columns of data/<kind>.csv, and the rows of one result."""

    record: type[Record]
    columns: list[str]
    rows: Callable[[Any], Iterator[Row]]


def _origin(provenance: Provenance) -> Row:
    return {
        "torch": provenance.versions.get("torch"),
        "hardware": provenance.hardware.get("gpu") or provenance.hardware.get("cpu"),
        "threads": provenance.numerics.get("threads"),
        "git_commit": provenance.git_commit,
        "command": provenance.command,
    }


def profile_rows(result: ProfileResult) -> Iterator[Row]:
    """A row per network and kind of operation; `unprofiled_milliseconds` is the whole call without the profiler."""
    for network in result.networks:
        at = result.model_dump() | _origin(result.provenance) | {"network": network.name}
        for kind in network.kinds:
            yield at | {
                "operations": kind.kind,
                "milliseconds": kind.milliseconds,
                "share": kind.share,
                "unprofiled_milliseconds": network.milliseconds,
            }


def regularizer_rows(result: RegularizerResult) -> Iterator[Row]:
    """A row per timed call, with its ratio to the step without the penalty and what the penalty takes on average."""
    at = result.model_dump() | _origin(result.provenance) | {"layers": len(result.filters), "band": band(result)}
    for cost in costs(result):
        ratios = {"ratio": cost.ratio, "ratio_low": cost.low, "ratio_high": cost.high}
        yield at | ratios | {"arm": cost.name, "milliseconds": cost.milliseconds, "averaged": cost.averaged}


def sensitivity_rows(result: SensitivityResult) -> Iterator[Row]:
    """A row per layer, by the increase in loss per parameter saved; what is not finite is left empty."""
    at = result.model_dump() | _origin(result.provenance)
    at |= {"epochs": result.config["recipe"]["epochs"]}
    at |= {"probe_val_loss": result.val_loss, "probe_val_top1": result.val_top1}
    for layer in result.ranked:
        per_thousand = 1000 * layer.increase_per_parameter
        yield (
            at
            | layer.model_dump()
            | {
                "increase": layer.increase if math.isfinite(layer.increase) else None,
                "increase_per_1000_saved": per_thousand if math.isfinite(per_thousand) else None,
            }
        )


def correctness_rows(result: CorrectnessResult) -> Iterator[Row]:
    """A row per check."""
    for check in result.checks:
        row = {"device": result.device, **check.model_dump(), "passed": check.passed}
        yield row | _origin(result.provenance)


_ORIGIN = "torch hardware threads git_commit command"
_PROFILE = (
    "architecture variant activity batch_size channels_last device "
    "network operations milliseconds share unprofiled_milliseconds"
)
_REGULARIZER = (
    "architecture variant batch_size channels_last device period layers "
    "arm milliseconds ratio ratio_low ratio_high band averaged"
)
_SENSITIVITY = (
    "dataset architecture variant start epochs steps probe_val_loss probe_val_top1 "
    "layer params params_saved val_loss_plain val_loss increase increase_per_1000_saved"
)
_CORRECTNESS = "device coefficients geometry form precision channels_last error tolerance passed"

MEASURED: dict[str, MeasuredKind] = {
    "profile": MeasuredKind(ProfileResult, f"{_PROFILE} {_ORIGIN}".split(), profile_rows),
    "regularizer": MeasuredKind(RegularizerResult, f"{_REGULARIZER} {_ORIGIN}".split(), regularizer_rows),
    "sensitivity": MeasuredKind(SensitivityResult, f"{_SENSITIVITY} {_ORIGIN}".split(), sensitivity_rows),
    "correctness": MeasuredKind(CorrectnessResult, f"{_CORRECTNESS} {_ORIGIN}".split(), correctness_rows),
}


def rows_of(kind: str, results: Iterable[Record]) -> list[Row]:
    """The rows of data/<kind>.csv of some results."""
    return [row for result in results for row in MEASURED[kind].rows(result)]


def measured_files(root: Path, kind: str) -> list[Path]:
    """The files of a kind in an experiment's folder."""
    return sorted([*root.glob(f"{kind}.json"), *(root / kind).glob("*.json")])


def read_measured(root: Path, kind: str) -> tuple[list[Record], dict[str, str]]:
    """The results of a kind in an experiment's folder, and by name of their files why others cannot be read."""
    results: list[Record] = []
    damaged: dict[str, str] = {}
    for path in measured_files(root, kind):
        try:
            results.append(read_result(path, MEASURED[kind].record))
        except ResultError as error:
            damaged[path.relative_to(root).as_posix()] = str(error).removeprefix(f"{path}: ")
    return results, damaged
