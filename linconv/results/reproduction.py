"""A run made again from its own record, held beside the original: equal to the bit, or how far apart and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from linconv.config import Config, ResolvedRun
from linconv.config.load import parse_config
from linconv.results.kinds.run_record import Epoch, RunResult
from linconv.results.outcomes import Outcomes

TOLERATED_TOP1 = 1.0  # percentage points of top-1, where something that decides the bits is another

_MACHINE = ("threads", "channels_last", "deterministic", "compile", "cuda_graph", "runs_per_gpu")
_BITS_OF_HARDWARE = ("cpu", "gpu", "machine", "instruction_set", "onednn_max_cpu_isa")
# of `numerics`: what was asked for, counts, and what changes the time alone
_NO_BITS = ("asked", "cuda_graphs", "runs_side_by_side", "freed_memory_kept", "cuda_graph")


def settings_of(result: RunResult, *, device: str | None = None, data_root: str | None = None) -> Config:
    """The settings of the machine that a run was made with, as a configuration; the run itself is `result.config`.

    Args:
        device: "cpu", "cuda" or "auto", by default what the run was made on.
        data_root: where the data sets lie, by default where they always do.
    """
    run = ResolvedRun.model_validate(result.config)
    asked = result.provenance.numerics.get("asked", {})
    device = device or ("cuda" if "gpu" in result.provenance.hardware else "cpu")
    raw: dict[str, Any] = {
        "experiment": run.experiment,
        "datasets": [run.dataset],
        "architectures": [run.architecture],
        "variants": ["conv"],
        "seeds": [run.seed],
        "splits": [run.split],
        "device": device,
        **{name: asked[name] for name in _MACHINE if name in asked},
    }
    if device == "cpu":
        raw["cuda_graph"] = False
    if run.imagefolder is not None:
        raw["imagefolders"] = {run.dataset: run.imagefolder.model_dump(mode="json")}
    if data_root is not None:
        raw["data_root"] = data_root
    return parse_config(raw, "the result's settings")


class Change(NamedTuple):
    """Something that decides the bits of a run and is another than it was."""

    name: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name}: {self.before} -> {self.now}"


class Reproduction(NamedTuple):
    """A run beside the one made again from its record.

    `differences` says where the two differ, a line each; empty where all that both record is equal to the bit.
    `changes` are what may have moved the bits. `other_data` says that the two saw different images.
    """

    changes: list[Change]
    differences: list[str]
    top1: tuple[float | None, float | None]
    other_data: bool

    @property
    def verdict(self) -> str:
        """One line."""
        if not self.differences:
            return "equal to the bit"
        if self.other_data:
            return "not reproduced: the data are others"
        if not self.changes:
            return "not reproduced: nothing that decides the bits has changed, and they differ"
        return "other bits, as something that decides them has changed"

    def holds(self, tolerance: float = TOLERATED_TOP1) -> bool:
        """Whether the original is confirmed: to the bit, or on another machine or by other code to `tolerance` points.

        Args:
            tolerance: the largest difference of top-1 in percentage points.
        """
        if not self.differences:
            return True
        if self.other_data or not self.changes:
            return False
        before, now = self.top1
        return before == now if before is None or now is None else abs(now - before) <= tolerance


def compare_runs(
    before: RunResult,
    now: RunResult,
    outcomes_before: Outcomes | None = None,
    outcomes_now: Outcomes | None = None,
) -> Reproduction:
    """Hold a run that was made again to the original; what the original did not record is left out.

    So are the outcomes of test images that were streamed by one of the two: they are in another order.
    """
    other_data = _data_differ(before, now)
    differences = [*_differences(before, now)]
    if outcomes_before is not None and outcomes_now is not None and _is_ordered(before) == _is_ordered(now):
        differences += _images(outcomes_before, outcomes_now)
    return Reproduction([*_changes(before, now)], differences, (before.metrics.top1, now.metrics.top1), other_data)


def _data_differ(before: RunResult, now: RunResult) -> bool:
    if before.data is None or now.data is None:
        return False
    parts = ((getattr(before.data, p).digest, getattr(now.data, p).digest) for p in ("train", "test"))
    return any(a is not None and b is not None and a != b for a, b in parts)


def _is_ordered(result: RunResult) -> bool:
    """Whether the outcomes are in the order of the images' hashes: streamed images have none."""
    return result.data is None or result.data.test.digest is not None


def _changes(before: RunResult, now: RunResult) -> Iterator[Change]:
    if before.code_hash != now.code_hash:
        yield Change("code", before.code_hash, now.code_hash)
    was, is_now = before.provenance, now.provenance
    yield from _changed("versions", was.versions, is_now.versions)
    pick = {name: [h.get(name) for h in (was.hardware, is_now.hardware)] for name in _BITS_OF_HARDWARE}
    unknown = {name for name in ("instruction_set",) if None in pick[name]}
    yield from (Change(name, a, b) for name, (a, b) in pick.items() if a != b and name not in unknown)
    yield from _changed("numerics", was.numerics, is_now.numerics)
    if was.processes != is_now.processes:
        yield Change("processes", was.processes, is_now.processes)
    if was.earlier_processes and was.earlier_processes[-1].hardware != was.hardware:
        yield Change("hardware of an earlier process", was.earlier_processes[-1].hardware.get("cpu"), "one process")


def _changed(kind: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for name, value in before.items():
        if name not in _NO_BITS and name in now and now[name] != value:
            yield Change(f"{kind}.{name}", value, now[name])


def _differences(before: RunResult, now: RunResult) -> Iterator[str]:
    if before.status != now.status:
        yield f"status: {before.status}, now {now.status}"
    yield from _history(before.history, now.history)
    for name, value in before.metrics.model_dump(exclude_none=True).items():
        if getattr(now.metrics, name) != value:
            yield f"metrics.{name}: {value}, now {getattr(now.metrics, name)}"
    for part in ("layers_before", "layers"):
        was, is_now = getattr(before, part), getattr(now, part)
        if was is not None and was != is_now:
            yield f"{part}: the filters have other correlations or ranks"


def _history(before: list[Epoch], now: list[Epoch]) -> Iterator[str]:
    pairs = list(zip(before, now, strict=False))
    first = next((a.epoch for a, b in pairs if a != b), None)
    if first is not None:
        losses = [(a.train_loss, b.train_loss) for a, b in pairs]
        worst = max((abs(a - b) / a for a, b in losses if a and b is not None), default=0.0)
        yield f"history: from epoch {first} on; the training loss by up to {100 * worst:.2g} %"
    if len(before) != len(now):
        yield f"history: {len(before)} epochs, now {len(now)}"


def _images(before: Outcomes, now: Outcomes) -> Iterator[str]:
    if len(before.correct) != len(now.correct):
        yield f"outcomes: {len(before.correct)} images, now {len(now.correct)}"
        return
    others = int(np.count_nonzero(before.correct != now.correct))
    if others:
        lost = int(np.count_nonzero(before.correct & ~now.correct))
        yield f"outcomes: {others} of {len(now.correct)} test images ({lost} right before, {others - lost} now)"
    if not np.array_equal(before.log_prob, now.log_prob):
        moved = float(np.median(np.abs(before.log_prob - now.log_prob)))
        yield f"outcomes: log-probabilities of the true class moved by {moved:.2g} (median)"
