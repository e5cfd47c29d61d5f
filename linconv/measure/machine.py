"""The state of the machine around a timing: what a reader needs to trust it."""

from __future__ import annotations

import os
import statistics
import subprocess
from pathlib import Path
from typing import Any


def machine_state(device: str) -> dict[str, Any]:
    """Load average over a minute, clocks in MHz, and on a GPU its clocks, temperature and other processes.

    What the system does not tell is null.
    """
    state: dict[str, Any] = {
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "cpu_mhz": _cpu_mhz(),
    }
    return state | _gpu_state() if device == "cuda" else state


def _cpu_mhz() -> float | None:
    """The mean over the cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    clocks = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return round(statistics.mean(clocks), 1) if clocks else None


def _gpu_state() -> dict[str, Any]:
    fields = {"clocks.sm": "gpu_sm_mhz", "clocks.mem": "gpu_memory_mhz", "temperature.gpu": "gpu_celsius"}
    queried = _nvidia_smi(f"--query-gpu={','.join(fields)},driver_version")
    apps = _nvidia_smi("--query-compute-apps=pid")
    state: dict[str, Any] = dict.fromkeys((*fields.values(), "gpu_driver", "gpu_other_processes"))
    if queried:
        *numbers, driver = (text.strip() for text in queried[0].split(","))
        values = [float(n) if n.replace(".", "", 1).isdigit() else None for n in numbers]
        state |= dict(zip(fields.values(), values, strict=True)) | {"gpu_driver": driver}
    if apps is not None:
        state["gpu_other_processes"] = sum(line.strip() not in ("", str(os.getpid())) for line in apps)
    return state


def _nvidia_smi(query: str) -> list[str] | None:
    """The lines of one query about the first visible device; None where there is no answer."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits", *(["-i", visible] if visible else [])]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None


def quiet_profiler() -> None:
    """Keep the profiler from reporting its start, its end and the lack of a GPU; heard before its first use alone."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
