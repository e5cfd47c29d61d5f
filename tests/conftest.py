"""What holds for every test: set before anything imports torch, and passed on to the processes that tests start."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# Some virtual machines advertise AMX and do not run it: a product in bfloat16 on the CPU then kills the process.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")
# One thread per process: sums round alike in all processes of a test, and pytest's workers do not crowd each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Snakemake's plugin for Slurm asks for a cluster whenever it is imported, and without one waits for nine seconds.
os.environ.setdefault("SLURM_CONF", os.devnull)

from tests.damage import Trainer

LONG = ("tests/workflow/test_slurm", "tests/workflow/", "tests/test_code_blocks", "tests/report/", "tests/methods/")


def pytest_sessionstart() -> None:
    """The first worker gets the longest file, the one of Slurm, which the others shall not hold up."""
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0" and hasattr(os, "nice"):
        os.nice(5)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests take longest first: at the end no worker waits for the other one."""
    items.sort(key=lambda item: next((i for i, start in enumerate(LONG) if item.nodeid.startswith(start)), len(LONG)))


@pytest.fixture(autouse=True, scope="session")
def _no_fsync() -> Iterator[None]:
    """Tests lose no power: waiting for the disk took an eighth of their time. Processes that they start do wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """A command that a test runs in this process leaves its handlers."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def train(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainer]:
    """`linconv` in this process, its messages caught."""
    caplog.set_level(logging.INFO, "linconv")
    yield Trainer(tmp_path, caplog, monkeypatch)
    logging.captureWarnings(False)
