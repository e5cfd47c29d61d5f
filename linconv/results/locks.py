"""Locks on open files, which end with the process that holds them, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def lock(descriptor: int) -> None:
    """Lock an open file.

    Raises:
        BlockingIOError: another process has it.
        OSError: the file system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from None
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_still(path: Path, descriptor: int) -> bool:
    """Whether the file at `path` is the one that was opened."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
