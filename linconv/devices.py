"""Which device a process may use, decided before torch is imported.

Snakemake's `resources: gpu` limits how many jobs run at once but assigns no device; here a file lock per GPU does.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from linconv.config.errors import UserError


class DeviceError(UserError):
    """The device asked for is not there."""


def visible_gpus() -> list[str]:
    """Identifiers of the CUDA devices this process may use: CUDA_VISIBLE_DEVICES, else what the driver lists."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device.strip() for device in visible.split(",") if device.strip() not in ("", "-1")]
    try:
        command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
        listing = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listing.splitlines() if line.strip()]


@contextmanager
def device_slot(device: str, poll_seconds: float = 0.5) -> Iterator[str]:
    """Hold one GPU for the length of the block and make it the only visible one; yields "cuda" or "cpu".

    Args:
        device: "cpu", "cuda" or "auto" (a GPU where there is one).

    Raises:
        DeviceError: "cuda" was asked for and no device is visible.
    """
    gpus = [] if device == "cpu" else visible_gpus()
    if not gpus:
        if device == "cuda":
            raise DeviceError("device 'cuda' was asked for, but no CUDA device is visible; use 'auto' or 'cpu'")
        yield "cpu"
        return
    folder = Path(tempfile.gettempdir(), f"linconv-gpu-slots-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    lock, gpu = _first_free(folder, gpus, poll_seconds)
    try:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        yield "cuda"
    finally:
        lock.release()


def _first_free(folder: Path, gpus: list[str], poll_seconds: float) -> tuple[FileLock, str]:
    while True:
        for gpu in gpus:
            lock = FileLock(folder / f"{gpu.replace('/', '_')}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return lock, gpu
        time.sleep(poll_seconds)
