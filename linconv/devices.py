"""Which device a process may use, decided before torch is imported.

Snakemake's `resources: gpu` limits how many jobs run at once but assigns no device; here file locks do, as many per
GPU as runs may share it.
"""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from linconv.config.errors import UserError

log = logging.getLogger("linconv")


class DeviceError(UserError):
    """The device asked for is not there."""


def visible_gpus() -> list[str]:
    """Identifiers of the CUDA devices this process may use: CUDA_VISIBLE_DEVICES, else what the driver lists."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device.strip() for device in visible.split(",") if device.strip() not in ("", "-1")]
    return _nvidia_smi("uuid")


@contextmanager
def device_slot(device: str, runs_per_gpu: int = 1, poll_seconds: float = 0.5) -> Iterator[str]:
    """Hold a place on a GPU for the length of the block and make it the only visible one; yields "cuda" or "cpu".

    Places are taken on the GPUs in turn: no GPU gets a second run while another has none.

    Args:
        device: "cpu", "cuda" or "auto" (a GPU where there is one).
        runs_per_gpu: places on each GPU.

    Raises:
        DeviceError: "cuda" was asked for and no device is visible.
    """
    gpus = [] if device == "cpu" else visible_gpus()
    if not gpus:
        if device == "cuda":
            raise DeviceError("device 'cuda' was asked for, but no CUDA device is visible; use 'auto' or 'cpu'")
        yield "cpu"
        return
    folder = Path(tempfile.gettempdir(), f"linconv-gpu-slots-{_user()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    _check_own(folder)
    lock, gpu = _first_free(folder, gpus, runs_per_gpu, poll_seconds)
    try:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        yield "cuda"
    finally:
        lock.release()


def _check_own(folder: Path) -> None:
    """Refuse a folder that another user has put where ours is expected, or a link in its place."""
    if sys.platform == "win32":
        return
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise DeviceError(f"{folder} belongs to another user; set TMPDIR to a folder of your own")


def _user() -> str:
    """What tells users apart in a folder that they may share; on Windows each has a temporary folder."""
    if sys.platform == "win32":
        return ""
    return str(os.getuid())


def _first_free(folder: Path, gpus: list[str], runs_per_gpu: int, poll_seconds: float) -> tuple[FileLock, str]:
    names = _uuids() if any(gpu.isdecimal() for gpu in gpus) else {}
    waits = False
    while True:
        for place, gpu in itertools.product(range(runs_per_gpu), gpus):
            lock = FileLock(folder / f"{names.get(gpu, gpu).replace('/', '_')}.{place}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return lock, gpu
        if not waits:
            log.info("waiting for a place on GPU %s", ", ".join(gpus))
            waits = True
        time.sleep(poll_seconds)


def _uuids() -> dict[str, str]:
    """The UUID of each index of the driver: under a cluster's scheduler, every job's GPU may be called 0."""
    return dict(line.split(", ", 1) for line in _nvidia_smi("index,uuid") if ", " in line)


def _nvidia_smi(query: str) -> list[str]:
    """A line of each GPU; none without a driver."""
    try:
        command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
        listing = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listing.splitlines() if line.strip()]
