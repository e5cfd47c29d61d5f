"""Writing files so that a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel

from linconv.results.integrity import sealed_text
from linconv.results.locks import is_still, lock

ENDING = ".linconv.tmp"  # of temporary names; the writer holds a lock on each for as long as it lives


@contextmanager
def atomic_path(path: str | Path, *, previous: Path | None = None) -> Iterator[Path]:
    """A temporary path beside `path`, moved over it when the block ends well and removed when it does not.

    Once it is moved, it is on the disk: not even a loss of power brings the old file back. What processes that were
    killed in such a block left in the folder is removed.

    Args:
        previous: where the old file goes, once the new one is on the disk.

    Raises:
        OSError: of whatever was done in the block; it names `path`, also where the system named no file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    temporary = path.with_name(_temporary_name(path))
    held = None
    try:
        held = _claim(temporary)
        yield temporary
        with temporary.open("rb+") as file:  # Windows syncs only what may be written
            os.fsync(file.fileno())
        if sys.platform == "win32" and held is not None:  # moves no file that is open
            os.close(held)
            held = None
        if previous is not None and path.exists():
            path.replace(previous)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno is None or error.filename not in (None, os.fspath(temporary)):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        if held is not None:
            os.close(held)
        with suppress(OSError):  # what went wrong with the folder has been said
            temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(beside: Path) -> Iterator[Path]:
    """An empty folder beside a path, removed in the end; what killed processes left there is removed too."""
    remove_leftovers(beside.parent)
    folder = beside.with_name(_temporary_name(beside))
    held = None
    try:
        held = _claim(folder, is_folder=True)
        yield folder
    finally:
        if held is not None:
            os.close(held)
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` whose writers were killed.

    A writer that lives, on this machine or on another one that shares the disk, has a lock on what it writes. On file
    systems without locks nothing is removed; Windows removes no file that is open.
    """
    with suppress(OSError):
        for temporary in folder.glob(f".*{ENDING}"):
            with suppress(OSError):  # its writer lives, or another process has removed it
                _remove_unless_claimed(temporary)


def _remove_unless_claimed(temporary: Path) -> None:
    if sys.platform == "win32":
        temporary.unlink()
        return
    is_folder = temporary.is_dir()
    descriptor = os.open(temporary, (os.O_RDONLY if is_folder else os.O_RDWR) | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        lock(descriptor)
        if is_folder:
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink()
    finally:
        os.close(descriptor)


def _temporary_name(path: Path) -> str:
    return f".{path.name}.{secrets.token_hex(4)}{ENDING}"


def _claim(temporary: Path, *, is_folder: bool = False) -> int | None:
    """Make the file or folder, and lock it; one that another process takes for a leftover in between is made again.

    Returns:
        its descriptor; None where the system opens no folder.
    """
    while True:
        if is_folder:
            temporary.mkdir(parents=True, exist_ok=True)
            if sys.platform == "win32":
                return None
        try:
            descriptor = os.open(temporary, os.O_RDONLY if is_folder else os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            if is_folder:
                continue
            raise
        if sys.platform == "win32":  # nobody else could write what is locked
            return descriptor
        try:
            with suppress(OSError):  # of a file system without locks
                lock(descriptor, wait=True)
            if is_still(temporary, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def check_writable(folder: Path, files: Iterable[str] = ()) -> None:
    """Write to a folder, and see that nothing stands where files will be put: before hours of work, not after.

    Raises:
        OSError: it cannot be written to, or one of `files` is a folder.
    """
    for name in files:
        if (folder / name).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(folder / name))
    probe = folder / f".probe{ENDING}"  # one that a killed process leaves is removed too
    try:
        with atomic_path(probe) as temporary:
            temporary.write_bytes(bytes(2**16))
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_result(path: str | Path, result: BaseModel) -> None:
    """Write a result file atomically: indented JSON, with a digest over its content that reading checks.

    Raises:
        ValueError: a number is not finite.
    """
    write_text(path, sealed_text(result.model_dump(mode="json")))


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":  # opens no folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
