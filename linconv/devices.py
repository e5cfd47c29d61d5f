"""Which device a process may use, decided before torch is imported.

Snakemake's `resources: gpu` limits how many jobs run at once but assigns no device; here file locks do, as many per
GPU as runs may share it.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from linconv.config.errors import UserError
from linconv.launch import launch

log = logging.getLogger("linconv")


class DeviceError(UserError):
    """The device asked for is not there."""


def _check_word(device: str) -> None:
    """Raise a DeviceError unless `device` is "auto", "cpu" or "cuda": any other word would run on the CPU."""
    if device not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"device '{device}' is not known; use 'auto', 'cpu' or 'cuda'")


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
        DeviceError: the word is another one; "cuda" was asked for and no device is visible; or this is one of several
            processes of a run, and its GPU is not there or taken.
    """
    _check_word(device)
    if "torch" not in sys.modules:
        log.info("importing torch")  # takes seconds, and nothing else is written before
    gpus = [] if device == "cpu" else visible_gpus()
    if device == "auto" and "SLURM_JOB_ID" in os.environ and "CUDA_VISIBLE_DEVICES" not in os.environ:
        # the driver may list the cards of other jobs too
        log.warning("Slurm gave this job no GPU, so it runs on the CPU; `device: cuda` takes what the driver lists")
        gpus = []
    if not gpus:
        if device == "cuda":
            raise DeviceError("device 'cuda' was asked for, but no CUDA device is visible; use 'auto' or 'cpu'")
        yield "cpu"
        return
    started = launch()
    if started.processes > 1:  # each waits for the others, so none may wait for a place
        gpus = [_own_gpu(gpus, started.local_rank)]
    lock, gpu = _first_free(_own_folder(), gpus, runs_per_gpu, poll_seconds, waits=started.processes == 1)
    try:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        yield "cuda"
    finally:
        lock.release()


def scheduler_job() -> str | None:
    """The job of a scheduler (Slurm, PBS, LSF, Grid Engine) that this process belongs to, if any."""
    for name in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"):
        if job := os.environ.get(name):
            return f"{name}-{re.sub(r'[^A-Za-z0-9.-]', '_', job)}"
    return None


def _own_folder() -> Path:
    """The folder of this user's locks on this machine, which nobody else can write to.

    Raises:
        DeviceError: another user has made it, or it is no folder.
    """
    if sys.platform == "win32":  # each user has a temporary folder there
        folder = Path(tempfile.gettempdir(), "linconv-gpu-slots")
        folder.mkdir(exist_ok=True)
        return folder
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"  # a batch job lacks the variable
    if os.access(runtime, os.W_OK):
        folder = Path(runtime, "linconv-gpu-slots")
    else:
        folder = Path(tempfile.gettempdir(), f"linconv-gpu-slots-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()  # no link is followed
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise DeviceError(
            f"{folder}: belongs to another user or is no folder; have it removed, or set TMPDIR to a folder of your own"
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
    return folder


def _own_gpu(gpus: list[str], local_rank: int) -> str:
    """The GPU of one of several processes; a scheduler may show each only its own."""
    if len(gpus) > 1 and local_rank >= len(gpus):
        raise DeviceError(f"process {local_rank} of this machine has no GPU, {len(gpus)} are visible; start as many")
    return gpus[local_rank] if len(gpus) > 1 else gpus[0]


def _first_free(
    folder: Path, gpus: list[str], runs_per_gpu: int, poll_seconds: float, waits: bool = True
) -> tuple[FileLock, str]:
    names = _names(gpus)
    said = False
    while True:
        for place, gpu in itertools.product(range(runs_per_gpu), gpus):
            lock = FileLock(folder / f"{names.get(gpu, gpu).replace('/', '_')}.{place}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return lock, gpu
        if not waits:
            raise DeviceError(
                f"GPU {gpus[0]} is taken by another process; give each process a free one by CUDA_VISIBLE_DEVICES"
            )
        if not said:
            log.info("waiting for a place on GPU %s", ", ".join(gpus))
            said = True
        time.sleep(poll_seconds)


def _names(gpus: list[str]) -> dict[str, str]:
    """What tells GPUs apart on the whole machine: the UUID of each index.

    Under a scheduler every job's GPU may be called 0. Where the driver's tool, which knows UUIDs, is missing, the job
    is part of the name: jobs have different GPUs.
    """
    if not any(gpu.isdecimal() for gpu in gpus):
        return {}
    uuids = dict(line.split(", ", 1) for line in _nvidia_smi("index,uuid") if ", " in line)
    job = scheduler_job()
    return uuids or ({gpu: f"{job}.{gpu}" for gpu in gpus} if job else {})


def _nvidia_smi(query: str) -> list[str]:
    """A line of each GPU; none without a driver."""
    try:
        command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
        listing = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listing.splitlines() if line.strip()]
