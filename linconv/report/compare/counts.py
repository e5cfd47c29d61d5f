"""The parameters and multiply-accumulates of two result folders side by side."""

from __future__ import annotations

from collections.abc import Iterator

from linconv.report.labels import architecture_label, place_label
from linconv.report.table import VARIANT, Column, Rows, Table
from linconv.report.text import MISSING, number
from linconv.results import Complexity
from linconv.results.folders import Results

_COUNTS = ("params", "macs_folded", "macs_feature", "macs_weight", "flops_paper")
_CAPTION = "Parameters, multiply-accumulates per image and the paper's FLOPs that differ."
_COLUMNS = (
    Column("network", align="l"),
    VARIANT,
    Column("count", align="l"),
    Column("A"),
    Column("B"),
    Column("B / A"),
)


def counts_sentence(a: Results, b: Results) -> str:
    """Whether the counts of the networks in both folders are equal."""
    ours, theirs = _models(a), _models(b)
    common = [cell for cell in ours if cell in theirs]
    if not common:
        return "No network's parameters and multiply-accumulates were counted in both folders."
    if _sizes(a) != _sizes(b):
        return f"Parameters and multiply-accumulates are counted for other inputs: {_sizes(a)} in A, {_sizes(b)} in B."
    unequal = sum(any(getattr(ours[c], n) != getattr(theirs[c], n) for n in _COUNTS) for c in common)
    if unequal:
        return f"Parameters or multiply-accumulates of {unequal} of {len(common)} networks differ."
    return f"Parameters and multiply-accumulates of all {len(common)} networks counted in both are equal."


def counts_compared(a: Results, b: Results) -> Table:
    """A row per count that differs: of networks, then of the trained ones."""
    rows = Rows(_COLUMNS)
    for where, variant, name, ours, theirs in (*_counted(a, b), *_trained(a, b)):
        if ours != theirs:
            ratio = number(theirs / ours, 3) if ours else MISSING
            rows.add(where, variant, name, f"{ours:,}", f"{theirs:,}", ratio)
    return rows.table(_CAPTION)


def _counted(a: Results, b: Results) -> Iterator[tuple[str, str, str, int, int]]:
    ours, theirs = _models(a), _models(b)
    for architecture, variant in (cell for cell in ours if cell in theirs):
        models = ours[architecture, variant], theirs[architecture, variant]
        for name in _COUNTS:
            yield architecture_label(architecture), variant, name, *(getattr(m, name) for m in models)


def _trained(a: Results, b: Results) -> Iterator[tuple[str, str, str, int, int]]:
    """The parameters of the runs in both, once per cell: those of its last run that differs."""
    found = {
        key[:3]: (run.metrics.params, b.runs[key].metrics.params)
        for key, run in a.runs.items()
        if key in b.runs and run.metrics.params != b.runs[key].metrics.params
    }
    for (dataset, architecture, variant), params in found.items():
        yield place_label(architecture, dataset), variant, "params as trained", *params


def _models(results: Results) -> dict[tuple[str, str], Complexity]:
    models = [] if results.complexity is None else results.complexity.models
    return {(model.architecture, model.variant): model for model in models}


def _sizes(results: Results) -> str:
    found = results.complexity
    if found is None:
        return MISSING
    return f"{'x'.join(map(str, found.input_shape))} and {found.classes} classes, batch {found.batch_size}"
