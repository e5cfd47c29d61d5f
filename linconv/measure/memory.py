"""The most memory that calls need: of the device's allocator on a GPU, of the profiler's record of tensors on a CPU."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from linconv.measure.machine import quiet_profiler
from linconv.measure.timing import Part, synchronise


@contextmanager
def earlier_objects_kept() -> Iterator[None]:
    """Within it no search for garbage, of which memory is counted after, goes through what there is already."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def held_memory(device: str) -> int:
    """Bytes of all tensors that exist on a device: on a CPU of those that Python knows, and of their gradients.

    Within `earlier_objects_kept`, on a CPU, of the tensors that have been made there.
    """
    gc.collect()  # what an earlier network left in cycles would be freed later, and counted as negative memory
    if device == "cuda":
        return torch.cuda.memory_allocated()
    found = [o for o in gc.get_objects() if type(o) in (Tensor, nn.Parameter)]  # no fake tensors of torch.compile
    found += [t.grad for t in found if t.is_leaf and t.grad is not None]
    storages = [t.untyped_storage() for t in found if t.device.type == "cpu" and t.layout == torch.strided]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())  # views share a storage


def peak_memory(parts: Sequence[Part], device: str, held: int) -> dict[str, float]:
    """The fields of peak memory of an `Arm`, in MiB: over one warm call of each part.

    Args:
        parts: calls that nothing has called yet.
        device: "cpu" or "cuda".
        held: `held_memory` before the parts' networks were made, which is not theirs.
    """
    if device == "cuda":
        _call(parts)
        synchronise(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        _call(parts)
        synchronise(device)
        peak = torch.cuda.max_memory_allocated()
        return {"peak_allocated_mib": _mib(peak - held), "peak_reserved_mib": _mib(torch.cuda.max_memory_reserved())}
    _recorded(parts)  # the profiler knows the size of what a call frees only if it saw it being made
    changes = _recorded(parts)
    # what is there after the calls is known, and from it, backwards, what was there at every moment of them
    above_the_end = max(itertools.accumulate(changes, initial=0)) - sum(changes)
    return {"peak_allocated_mib": _mib(held_memory(device) + above_the_end - held)}


def _call(parts: Sequence[Part]) -> None:
    for part in parts:
        part.call()


def _recorded(parts: Sequence[Part]) -> list[int]:
    """Bytes that a call of each part allocates, and frees (negative), in the order in which it does."""
    quiet_profiler()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        _call(parts)
        gc.collect()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]


def _mib(count: int) -> float:
    return round(count / 2**20, 3)
