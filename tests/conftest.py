"""What holds for every test: set before anything imports torch, and passed on to the processes that tests start."""

from __future__ import annotations

import os

# Some virtual machines advertise AMX and do not run it: a product in bfloat16 on the CPU then kills the process.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """A command that a test runs in this process leaves its handlers."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
