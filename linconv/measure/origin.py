"""Where a measurement comes from."""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from linconv.results import Provenance
from linconv.results.provenance import git_state, hardware, now_utc, versions
from linconv.training.numerics import numerics

COMMIT, DIRTY = git_state()  # of the code as it is imported: what is committed later is not what runs here


def origin(device: str, command: str, began: float, **in_force: Any) -> Provenance:
    """The provenance of a measurement on this process' device, "cpu" or "cuda", that ends now.

    Args:
        command: the command line that repeats it.
        began: `time.perf_counter()` at its start.
        in_force: settings beside those of `numerics`.
    """
    return Provenance(
        command=command,
        versions=versions(),
        hardware=machine(device),
        numerics=numerics() | in_force,
        git_commit=COMMIT,
        git_dirty=DIRTY,
        finished_utc=now_utc(),
        seconds=round(time.perf_counter() - began, 3),
    )


def machine(device: str) -> dict[str, Any]:
    """The hardware of this process, "cpu" or "cuda"; `instruction_set` is what torch uses of the processor."""
    found = hardware() | {"instruction_set": torch.backends.cpu.get_cpu_capability()}
    if limit := os.environ.get("ONEDNN_MAX_CPU_ISA"):  # the library of convolutions chooses its own
        found["onednn_max_cpu_isa"] = limit
    return found | ({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {})
