"""Where the processes of one run meet, before they train: each waits there until all have come."""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import Future, wait
from datetime import timedelta
from typing import TypeAlias

import torch.distributed as dist

from linconv.stopping import requested

log = logging.getLogger("linconv")
SOON, SHORTLY = 15.0, 5.0  # seconds
Met: TypeAlias = tuple[dist.ProcessGroup, dist.Store]


def meet(processes: int, backend: str, patience: timedelta) -> Met | None:
    """A group of all processes whose collectives run on the CPU, and their store; None where nobody came.

    Who waits says so after `SOON`, and leaves `SHORTLY` after it was asked to stop: until then others that come hear
    of the request. It waits in a thread, since signals are heard in Python alone.

    Args:
        backend: of the group for all else.
        patience: how long a collective of the first group may take.

    Raises:
        RuntimeError: they cannot be reached.
    """
    meeting: Future[Met] = Future()

    def join() -> None:
        try:
            meeting.set_result(_join(backend, patience))
        except BaseException as error:
            meeting.set_exception(error)

    threading.Thread(target=join, daemon=True).start()
    began, asked, said = time.monotonic(), 0.0, False
    while not wait([meeting], 0.1).done:
        now = time.monotonic()
        if requested():
            asked = asked or now
            if now - asked > SHORTLY:
                return None
        elif not said and now - began > SOON:
            said = True
            place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            log.warning("waiting at %s for the other processes of this run, %d in all", place, processes)
    return meeting.result()


def _join(backend: str, patience: timedelta) -> Met:
    store, rank, size = next(iter(dist.rendezvous("env://")))
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    host = dist.new_group(backend="gloo", timeout=patience)
    assert isinstance(host, dist.ProcessGroup)
    return host, store
