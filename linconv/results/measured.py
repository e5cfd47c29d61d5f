"""Tidy rows of what is measured of one network or one device, whatever the grid of an experiment.

The files of a kind lie in the experiment's folder: results/<experiment>/profile.json or profile/*.json.
"""

from __future__ import annotations

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
_ORIGIN = ("device", "hardware", "threads", "torch", "channels_last", "git_commit", "command")


@dataclass(frozen=True)
class MeasuredKind:
    """A kind of measurement: its result file, the columns of data/<kind>.csv, and the rows of one result."""

    record: type[Record]
    columns: tuple[str, ...]
    rows: Callable[[Any], Iterator[Row]]


def _origin(provenance: Provenance, device: str | None, channels_last: bool | None) -> Row:
    return {
        "device": device,
        "hardware": provenance.hardware.get("gpu") or provenance.hardware.get("cpu"),
        "threads": provenance.numerics.get("threads"),
        "torch": provenance.versions.get("torch"),
        "channels_last": channels_last,
        "git_commit": provenance.git_commit,
        "command": provenance.command,
    }


def profile_rows(result: ProfileResult) -> Iterator[Row]:
    """A row per network and kind of operation; `call_milliseconds` is the whole call without the profiler."""
    at = result.model_dump(include={"architecture", "variant", "activity", "batch_size"})
    at |= _origin(result.provenance, result.device, result.channels_last)
    for network in result.networks:
        for kind in network.kinds:
            row = {"network": network.name, "operations": kind.kind, "call_milliseconds": network.milliseconds}
            yield at | row | {"milliseconds": kind.milliseconds, "share": kind.share}


def regularizer_rows(result: RegularizerResult) -> Iterator[Row]:
    """A row per timed call, with its ratio to the step without the penalty and what the penalty takes on average."""
    at = result.model_dump(include={"architecture", "variant", "batch_size", "period"})
    at |= {"layers": len(result.filters), "band": band(result)}
    at |= _origin(result.provenance, result.device, result.channels_last)
    for cost in costs(result):
        row = {"call": cost.name, "milliseconds": cost.milliseconds, "averaged": cost.averaged}
        yield at | row | {"ratio": cost.ratio, "ratio_low": cost.low, "ratio_high": cost.high}


def sensitivity_rows(result: SensitivityResult) -> Iterator[Row]:
    """A row per layer, by the increase in loss per parameter saved; infinite increases are left empty."""
    at = result.model_dump(include={"dataset", "architecture", "variant", "start", "steps"})
    at |= {"epochs": result.config["recipe"]["epochs"]}
    at |= {"network_val_loss": result.val_loss, "network_val_top1": result.val_top1}
    at |= _origin(result.provenance, None, None)
    for layer in result.ranked:
        finite = layer.val_loss is not None and layer.val_loss_plain is not None
        row = {**layer.model_dump(), "increase": layer.increase if finite else None}
        saves = finite and layer.params_saved > 0
        yield at | row | {"increase_per_parameter": layer.increase_per_parameter if saves else None}


def correctness_rows(result: CorrectnessResult) -> Iterator[Row]:
    """A row per check."""
    for check in result.checks:
        origin = _origin(result.provenance, result.device, check.channels_last)
        yield origin | check.model_dump() | {"passed": check.passed}


MEASURED: dict[str, MeasuredKind] = {
    "profile": MeasuredKind(
        ProfileResult,
        (
            "architecture",
            "variant",
            "activity",
            "batch_size",
            "network",
            "operations",
            "milliseconds",
            "share",
            "call_milliseconds",
            *_ORIGIN,
        ),
        profile_rows,
    ),
    "regularizer": MeasuredKind(
        RegularizerResult,
        (
            "architecture",
            "variant",
            "batch_size",
            "period",
            "layers",
            "call",
            "milliseconds",
            "ratio",
            "ratio_low",
            "ratio_high",
            "band",
            "averaged",
            *_ORIGIN,
        ),
        regularizer_rows,
    ),
    "sensitivity": MeasuredKind(
        SensitivityResult,
        (
            "dataset",
            "architecture",
            "variant",
            "start",
            "epochs",
            "steps",
            "network_val_loss",
            "network_val_top1",
            "layer",
            "params",
            "params_saved",
            "val_loss_plain",
            "val_loss",
            "increase",
            "increase_per_parameter",
            *_ORIGIN,
        ),
        sensitivity_rows,
    ),
    "correctness": MeasuredKind(
        CorrectnessResult,
        ("coefficients", "geometry", "form", "precision", "error", "tolerance", "passed", *_ORIGIN),
        correctness_rows,
    ),
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
