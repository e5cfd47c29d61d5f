"""Runs side by side in one process: one thread at a time runs Python, the others wait for the device."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from linconv.training.device_loop import Host
from linconv.training.engine import Callback, Training


class Turns(Host):
    """One thread at a time has its turn; it gives the turn up while it waits for the device or launches.

    A capture waits until no other thread launches, since the device refuses launches during a capture.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._launches = threading.Condition()
        self._launching = 0

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Others may have their turns within the block."""
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()

    def wait(self) -> None:
        with self.given_up():
            if torch.cuda.is_available():
                super().wait()
            else:
                time.sleep(0)

    @contextmanager
    def launching(self) -> Iterator[None]:
        self._count(1)
        with self.given_up():
            try:
                yield
            finally:
                self._count(-1)

    @contextmanager
    def capturing(self) -> Iterator[None]:
        # no launch can begin meanwhile: it would need the turn, which the capturing thread has
        with self._launches:
            self._launches.wait_for(lambda: self._launching == 0)
        yield

    def _count(self, change: int) -> None:
        with self._launches:
            self._launching += change
            self._launches.notify_all()


class TurnsOfPython(Turns):
    """`Turns` for `Rerun`, whose launches are Python and need the turn."""

    @contextmanager
    def launching(self) -> Iterator[None]:
        yield


class AfterEachStep(Callback):
    """Gives the turn up after each step of a training whose steps come from the host."""

    only_watches = True

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def on_step_end(self, training: Training) -> None:
        with self._turns.given_up():
            time.sleep(0)
