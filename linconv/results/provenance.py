"""Where a result comes from: versions, hardware, commit, and hashes of the code that made it."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent


@functools.cache
def _versions() -> dict[str, str]:
    # looking for the packages' metadata takes up to seconds on a slow disk, and a run asks after every epoch
    packages = ("linconv", "torch", "torchvision", "numpy", "scikit-learn")
    return {"python": platform.python_version()} | {p: _version(p) for p in packages}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that affect a result."""
    return dict(_versions())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # a copy of the tree that was never installed
        return str(getattr(sys.modules.get(package), "__version__", "unknown"))


def hardware() -> dict[str, Any]:
    """The processor, its cores and the operating system; no name of the machine or its user."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
    }


def peak_memory_mib() -> float | None:
    """The most memory that this process has held (resident set), in MiB; None where the system does not say."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage also counts what the process that started this one used
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 2**10, 1)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def git_state() -> tuple[str | None, bool | None]:
    """The commit of the code in use and whether tracked files differ from it.

    For a copy that is no checkout, LINCONV_GIT_COMMIT and LINCONV_GIT_DIRTY ("true" or "false") of the environment
    say it. (None, None) where neither does.
    """
    root = PACKAGE.parent
    if commit := os.environ.get("LINCONV_GIT_COMMIT"):
        known = {"true": True, "1": True, "false": False, "0": False}
        return commit, known.get(os.environ.get("LINCONV_GIT_DIRTY", "").lower())
    if not (root / ".git").exists():
        return None, None
    try:
        commit = _git("rev-parse", "HEAD")
        return commit, bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def now_utc() -> str:
    """The time now, to the second, in UTC (ISO 8601)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PACKAGE.parent), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@functools.cache
def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
