"""The folder of a run: one process works in it at a time, and a finished run in it is found again."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from linconv.config import ResolvedRun
from linconv.config.errors import UserError
from linconv.config.parts import run_parts
from linconv.results.arrays import read_npz
from linconv.results.code import code_hash
from linconv.results.files import remove_leftovers
from linconv.results.kinds.run import CURRENT as CURRENT
from linconv.results.kinds.run import PREVIOUS as PREVIOUS
from linconv.results.kinds.run_record import RunResult
from linconv.results.locks import is_still, lock
from linconv.results.outcomes import read_outcomes
from linconv.results.reading import read_result
from linconv.results.record import RETRAIN, ResultError, UnreadableError, unreadable

log = logging.getLogger("linconv")
RESULT, CORRELATIONS, WEIGHTS = "result.json", "correlations.npz", "weights.pt"
REPLACED = "result.previous.json"  # the result that a forced training will replace, until it has
SEARCHED = "rates.json"  # what a search for the learning rate has found so far
_LOCK = ".lock"
_POLL_SECONDS = 0.2


class InUseError(UserError):
    """Another process works in the folder."""

    exit_code = 75


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Keep other processes out of a run's folder, which is made where it is missing.

    The lock ends with the process, however that ends.

    Args:
        wait: for a process that has the folder, with one line in the log.

    Raises:
        InUseError: not `wait`, and another process has the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _LOCK
    descriptor = _take(path, wait)
    try:
        yield
    finally:
        if sys.platform == "win32":  # removes no file that is open
            os.close(descriptor)
            with suppress(PermissionError):  # another process has it by now
                path.unlink(missing_ok=True)
        else:
            try:  # while it is held: who waits sees that its file is gone, and takes the next
                with suppress(OSError):  # what went wrong with the folder has been said
                    path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def _take(path: Path, wait: bool) -> int:
    said = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            lock(descriptor)
            if is_still(path, descriptor):
                return descriptor
        except BlockingIOError:
            if not wait:
                os.close(descriptor)
                raise InUseError(f"{path.parent}: another process trains this run; wait for it, or stop it") from None
            if not said:
                log.info("waiting for another process that trains this run (%s)", path.parent)
                said = True
            time.sleep(_POLL_SECONDS)
        except BaseException as error:
            if isinstance(error, OSError):  # a file system without locks
                log.warning("%s cannot be locked (%s): start no second process on this run", path, error.strerror)
                return descriptor
            os.close(descriptor)
            raise
        os.close(descriptor)


def finished(folder: Path, run: ResolvedRun, *, weights: bool = False, other_code: bool = False) -> RunResult | None:
    """The result in `folder` where it is whole and of this configuration and this code, with all that belongs to it.

    Args:
        weights: they belong to it too.
        other_code: a result of other code is one too.

    Raises:
        UnreadableError: the system does not give a file, which may be good.
    """
    try:
        result = read_result(folder / RESULT, RunResult)
        if result.config_hash != run.hash or not (other_code or is_of_this_code(result, run)):
            return None
        read_outcomes(folder, result)
        read_npz(folder / CORRELATIONS, remedy="")
        if weights:
            check_weights(folder, result)
    except UnreadableError:
        raise
    except ResultError:
        return None
    return result


def check_weights(folder: Path, result: RunResult) -> None:
    """Raise a ResultError where the weights in `folder` are missing, or are not those written with the result."""
    path = folder / WEIGHTS
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error, RETRAIN) from None
    if found != result.weights_sha256:
        raise ResultError(f"{path}: is not the file that was written with its result; {RETRAIN}")


def is_of_this_code(result: RunResult, run: ResolvedRun) -> bool:
    """Whether the code of this installation would make the result of a run again."""
    return result.code_hash == code_hash("run", run_parts(run))


def remove_checkpoints(folder: Path) -> None:
    """Remove both generations, and what a search for the rate has found; files set aside stay."""
    for name in (SEARCHED, PREVIOUS, CURRENT):  # a kill in between leaves the newer one
        (folder / name).unlink(missing_ok=True)


def begin_anew(folder: Path) -> None:
    """Put the result in `folder` aside and remove its checkpoints; where there is no result, a training goes on.

    So a forced training that was interrupted is continued, with or without --force. The files that belong to the
    result stay until the new one is written: with its name back, the result is whole again.
    """
    if (folder / RESULT).exists():
        remove_checkpoints(folder)
        (folder / RESULT).replace(folder / REPLACED)
        log.info("the result that is there waits as %s until the new one is written", REPLACED)


def settle(folder: Path) -> None:
    """Remove what a process left that was killed after its result was written; the last checkpoint stays."""
    with suppress(InUseError), locked(folder, wait=False):
        remove_leftovers(folder)
        for name in (PREVIOUS, REPLACED):
            (folder / name).unlink(missing_ok=True)


def remove_spent_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a run whose result has been collected; another process there keeps them."""
    if any((folder / name).exists() for name in (PREVIOUS, CURRENT, _LOCK)):
        with suppress(InUseError), locked(folder, wait=False):
            remove_leftovers(folder)
            remove_checkpoints(folder)
