"""Writing files so that a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from pydantic import BaseModel

from linconv.results.integrity import sealed_text
from linconv.stopping import deferred

ENDING = ".linconv.tmp"  # of temporary names: .NAME.HOST-PROCESS-RANDOM.linconv.tmp
_OLD = 24 * 3600.0  # seconds; nothing is written for that long
_WRITER = re.compile(rf"\.([0-9a-f]+)-([0-9]+)-[0-9a-f]+{re.escape(ENDING)}")


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
    if not path.name:  # "." or "/", which have no name that a temporary one can be made of
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    temporary = path.with_name(temporary_name(path.name))
    try:
        yield temporary
        with temporary.open("rb+") as file:  # Windows syncs only what may be written
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            path.replace(previous)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno is None or error.filename not in (None, os.fspath(temporary)):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        with suppress(OSError):  # what went wrong with the folder has been said
            temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(beside: Path) -> Iterator[Path]:
    """An empty folder beside a path, removed in the end; what killed processes left there is removed too."""
    remove_leftovers(beside.parent)
    folder = beside.with_name(temporary_name(beside.name))
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` whose writers were killed.

    The name of a temporary file says which process of which machine writes it. Here a file goes when its process has
    ended. What another machine writes, or a process that cannot be asked for (on Windows), goes a day after its last
    change.
    """
    with suppress(OSError):
        for temporary in folder.glob(f".*{ENDING}"):
            with suppress(OSError):  # another process has removed it
                if not _has_living_writer(temporary):
                    if temporary.is_dir() and not temporary.is_symlink():
                        shutil.rmtree(temporary, ignore_errors=True)
                    else:
                        temporary.unlink()


def temporary_name(name: str, process: int | None = None) -> str:
    """The name that a process, by default this one, gives to what it writes before it is moved to `name`."""
    return f".{name}.{_host()}-{os.getpid() if process is None else process}-{secrets.token_hex(4)}{ENDING}"


def _has_living_writer(temporary: Path) -> bool:
    if time.time() - temporary.lstat().st_mtime > _OLD:
        return False
    writer = _WRITER.search(temporary.name)
    if writer is None or writer[1] != _host() or sys.platform == "win32":
        return True
    try:
        os.kill(int(writer[2]), 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        pass
    return True


@cache
def _host() -> str:
    """Names this machine since its start, and the container: what has process numbers of its own."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def check_writable(folder: Path, files: Iterable[str] = ()) -> None:
    """Write to a folder, and see that nothing stands where files will be put: before hours of work, not after.

    Raises:
        OSError: it cannot be written to, or one of `files` is a folder.
    """
    for name in files:
        if (folder / name).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(folder / name))
    probe = folder / temporary_name("probe")  # one that a killed process leaves is removed too
    with deferred():  # a request to stop between two lines would leave it
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
