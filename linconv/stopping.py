"""The request to stop that SIGTERM and SIGINT make of this process: once made, nothing can swallow it.

A request stays on record and raises `StopRequested`, which is no `Exception`, in whatever runs. Within `deferred` it
waits for the end of the block, or for a second signal. One more signal ends the process at once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: the same command goes on later
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequested(BaseException):
    """A signal asked this process to stop; the same command continues where it stopped."""

    def __init__(self, message: str = "interrupted; the same command continues it") -> None:
        super().__init__(message)


class _Requests:
    """What was asked of this process; signals belong to a process, hence one object for all."""

    def __init__(self) -> None:
        self.process: int | None = None  # that listens; a forked one inherits the handlers
        self.made = False
        self.raised = False
        self.deferrals: list[Callable[[], object]] = []

    def answer(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.process:  # a helper: the process that started it ends it
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
        elif self.raised:
            os._exit(INTERRUPTED)
        elif self.deferrals and not self.made:
            self.made = True
            for tell in self.deferrals:
                tell()
        else:
            self.made = self.raised = True
            raise StopRequested


_requests = _Requests()


def listen() -> None:
    """From now on SIGTERM and SIGINT are requests; needs the main thread, the only one that can handle signals."""
    _requests.__init__()  # type: ignore[misc]
    _requests.process = os.getpid()
    for number in SIGNALS:
        signal.signal(number, _requests.answer)


def leave() -> None:
    """Ignore both signals: all is done, and the interpreter takes its time to end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def listening() -> Iterator[None]:
    """`listen` for the length of the block, unless this process does so already."""
    if _is_listening():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def requested() -> bool:
    """Whether a request has been made."""
    return _is_listening() and _requests.made


def check() -> None:
    """Raise StopRequested where a request has been made; code that runs while an object is deleted swallows one."""
    if requested():
        raise StopRequested


@contextmanager
def deferred(tell: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Let the block, and one around it, end in its own way: the first request in it raises nothing before its end.

    Args:
        tell: called by that request, between two instructions of Python: it must be short. One that was made in a
            block around this one calls it at once.
    """
    _check_unless_deferred()
    _requests.deferrals.append(tell)
    try:
        if requested():
            tell()
        yield
    finally:
        _requests.deferrals.remove(tell)
    _check_unless_deferred()


def _check_unless_deferred() -> None:
    if not _requests.deferrals:
        check()


def _is_listening() -> bool:
    return _requests.process == os.getpid() and signal.getsignal(signal.SIGTERM) == _requests.answer
