"""Tidy rows made of result files, and their writing: same results, same bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from linconv.config import RunKey
from linconv.config.runs import digest
from linconv.results.files import write_text
from linconv.results.measured import MEASURED
from linconv.results.schema import (
    Complexity,
    ComplexityResult,
    Epoch,
    LayerComplexity,
    LayerRedundancy,
    RunResult,
)
from linconv.results.throughput import PLAIN, ThroughputResult, timings

_COORDINATES = list(RunKey._fields)
_SIZES = ["input_shape", "classes", "batch_size"]
_MODEL = [name for name in Complexity.model_fields if name != "layers"]
COLUMNS: dict[str, list[str]] = {
    "runs": [
        *_COORDINATES,
        *(
            "status",
            "top1",
            "test_loss",
            "train_loss",
            "train_top1",
            "epoch",
            "params",
            "params_nonzero",
            "coefficient_sparsity",
            "selection",
            "macs",
            "never_orthogonal",
            "warnings",
        ),
        *("epochs", "batch_size", "learning_rate", "optimizer"),
        *("config_hash", "code_hash", "shared_code_hash", "data", "git_commit", "git_dirty", "torch", "numpy"),
        *("hardware", "instruction_set", "threads"),
        *("seconds", "images_per_second", "peak_memory_mib", "command"),
    ],
    "history": _COORDINATES + list(Epoch.model_fields),
    "layers": [*_COORDINATES, "stage", *LayerRedundancy.model_fields],  # before or after the training
    "complexity": _MODEL + _SIZES,
    "complexity_layers": ["architecture", "variant", *LayerComplexity.model_fields],
    "throughput": [
        *("architecture", "activity", "batch_size", "precision", "backend", "channels_last", "device", "hardware"),
        *("threads", "torch", "variant", "form", "status", "samples", "images_per_second", "latency_ms"),
        *("ratio", "ratio_low", "ratio_high", "band", "difference", "peak_allocated_mib", "peak_reserved_mib"),
        *("git_commit", "command"),
    ],
    **{name: list(kind.columns) for name, kind in MEASURED.items()},
    "failures": [*_COORDINATES, "reason", "detail", "log"],
}


def run_rows(results: Mapping[RunKey, RunResult]) -> dict[str, list[dict[str, Any]]]:
    """Rows of runs.csv, history.csv and layers.csv."""
    rows: dict[str, list[dict[str, Any]]] = {"runs": [], "history": [], "layers": []}
    for key, result in results.items():
        at = key._asdict()
        recipe = result.config.get("recipe", {})
        origin = result.provenance
        hardware = origin.hardware
        rows["runs"].append(
            {
                **at,
                **result.metrics.model_dump(),
                **{name: recipe.get(name) for name in ("epochs", "batch_size", "learning_rate", "optimizer")},
                "status": result.status,
                "never_orthogonal": _never_orthogonal(result),
                "warnings": _warnings(result),
                "config_hash": result.config_hash,
                "code_hash": result.code_hash,
                "shared_code_hash": result.shared_code_hash,
                "data": _data(result),
                "git_commit": origin.git_commit,
                "git_dirty": origin.git_dirty,
                "torch": origin.versions.get("torch"),
                "numpy": origin.versions.get("numpy"),
                "hardware": hardware.get("gpu") or hardware.get("cpu"),
                "instruction_set": hardware.get("instruction_set"),
                "threads": hardware.get("threads", origin.numerics.get("threads")),
                "seconds": origin.seconds,
                "images_per_second": origin.images_per_second,
                "peak_memory_mib": origin.peak_memory_mib,
                "command": origin.command,
            }
        )
        rows["history"] += [{**at, **epoch.model_dump()} for epoch in result.history]
        for stage, layers in (("before", result.layers_before or ()), ("after", result.layers)):
            rows["layers"] += [{**at, "stage": stage, **layer.model_dump()} for layer in layers]
    return rows


def _never_orthogonal(result: RunResult) -> str | None:
    """The layers that no filters make orthogonal, those with one reason together: "a, b: reason; c: reason"."""
    layers: dict[str, list[str]] = {}
    for found in result.warnings:
        if found.code == "never_orthogonal":
            layers.setdefault(found.message, []).append(found.layer or "(the model)")
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in layers.items()) or None


def _data(result: RunResult) -> str | None:
    """16 hexadecimal digits that change with any image or label of the data; None where the digests are not known."""
    if result.data is None or result.data.train.digest is None or result.data.test.digest is None:
        return None
    return digest([result.data.train.digest, result.data.test.digest])


def _warnings(result: RunResult) -> str | None:
    """All other warnings: "code: message; code: message"."""
    others = [found for found in result.warnings if found.code != "never_orthogonal"]
    return "; ".join(f"{w.code}: {w.message}" for w in others) or None


def complexity_rows(complexity: ComplexityResult | None) -> dict[str, list[dict[str, Any]]]:
    """Rows of complexity.csv and complexity_layers.csv (none without a count)."""
    rows: dict[str, list[dict[str, Any]]] = {"complexity": [], "complexity_layers": []}
    if complexity is None:
        return rows
    sizes = {name: getattr(complexity, name) for name in _SIZES}
    for model in complexity.models:
        rows["complexity"].append({**model.model_dump(exclude={"layers"}), **sizes})
        at = {"architecture": model.architecture, "variant": model.variant}
        rows["complexity_layers"] += [{**at, **layer.model_dump()} for layer in model.layers]
    return rows


def throughput_rows(cells: Iterable[ThroughputResult]) -> list[dict[str, Any]]:
    """Rows of throughput.csv, one per arm: the statistics of `linconv.results.throughput.timings`."""
    rows = []
    for cell in cells:
        timed = {t.arm.name: t for t in timings(cell)}
        origin = cell.provenance
        for arm in cell.arms:
            row = {
                **cell.model_dump(include={*COLUMNS["throughput"]}),
                **arm.model_dump(include={*COLUMNS["throughput"]}),
                "hardware": origin.hardware.get("gpu") or origin.hardware.get("cpu"),
                "threads": origin.numerics.get("threads"),
                "torch": origin.versions.get("torch"),
                "git_commit": origin.git_commit,
                "command": origin.command,
            }
            if found := timed.get(arm.name):
                row |= {name: getattr(found, name) for name in ("samples", "images_per_second", "latency_ms", "ratio")}
                row |= {"ratio_low": found.low, "ratio_high": found.high, "band": found.band}
                row |= {"difference": found.difference if arm.name != PLAIN else None}
            rows.append(row)
    return rows


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as CSV, header first, in the order given; a key that a row lacks is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    write_text(path, text.getvalue())
    return path


def _cell(value: Any) -> str:
    """One value as text, the same on every machine: eight significant digits, lists joined by x."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.8g}"
        case list() | tuple():
            return "x".join(map(str, value))
    return str(value)
