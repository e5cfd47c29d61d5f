"""Where a result comes from, as its file says it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from linconv.results.record import NonNegative, NonNegativeInt, Record

MAX_PROCESSES = 65_536


class EarlierProcess(Record):
    """A process that was interrupted, from which another went on. `epochs` had been finished at its last checkpoint;
    `seconds` and the peaks are those until then, and its own. It was the first of `processes`. `git_*` are null in
    results from before they were recorded."""

    epochs: NonNegativeInt
    seconds: NonNegative
    device: str
    processes: int = Field(default=1, ge=1, le=MAX_PROCESSES)
    versions: dict[str, str]
    hardware: dict[str, Any]
    numerics: dict[str, Any]
    git_commit: str | None = None
    git_dirty: bool | None = None
    peak_memory_mib: NonNegative | None
    peak_gpu_memory_mib: NonNegative | None


class Provenance(Record):
    """Where a result came from. `command` reproduces it from the repository's root.

    `numerics` is what was in force, `numerics.asked` what the configuration asked for. `peak_memory_mib` is that of
    the process (resident set), `peak_gpu_memory_mib` that of its tensors on the GPU. `earlier_processes` are those that
    a run went on from: `seconds` is the sum over all of them, the peaks are the highest; all else is of the last one.
    `images_per_second` is the rate of the last process in its training epochs, evaluations left out. `energy_joules` is
    what the device took for the run, where it was measured. `processes` trained together, each on a device of its own;
    hardware, versions and peaks are those of the first.
    """

    command: str
    processes: int = Field(default=1, ge=1, le=MAX_PROCESSES)
    versions: dict[str, str]
    hardware: dict[str, Any]
    numerics: dict[str, Any]
    git_commit: str | None
    git_dirty: bool | None
    finished_utc: str
    seconds: NonNegative
    peak_memory_mib: NonNegative | None = None
    peak_gpu_memory_mib: NonNegative | None = None
    images_per_second: NonNegative | None = None
    energy_joules: NonNegative | None = None
    earlier_processes: list[EarlierProcess] | None = None

    def row(self) -> dict[str, Any]:
        """What every row of collected results says of its origin."""
        hardware = self.hardware.get("gpu") or self.hardware.get("cpu")
        return {
            "git_commit": self.git_commit,
            "torch": self.versions.get("torch"),
            "hardware": hardware if self.processes == 1 else f"{self.processes} x {hardware}",
            "threads": self.hardware.get("threads", self.numerics.get("threads")),
            "command": self.command,
        }
