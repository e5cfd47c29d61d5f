"""Writing files so that a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel

from linconv.results.integrity import sealed_text


@contextmanager
def atomic_path(path: str | Path, *, previous: Path | None = None) -> Iterator[Path]:
    """A temporary path beside `path`, moved over it when the block ends well and removed when it does not.

    Once it is moved, it is on the disk: not even a loss of power brings the old file back.

    Args:
        previous: where the old file goes, once the new one is on the disk.

    Raises:
        OSError: of whatever was done in the block; it names `path`, also where the system named no file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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


def check_writable(folder: Path, files: Iterable[str] = ()) -> None:
    """Write to a folder, and see that nothing stands where files will be put: before hours of work, not after.

    Raises:
        OSError: it cannot be written to, or one of `files` is a folder.
    """
    for name in files:
        if (folder / name).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(folder / name))
    probe = folder / ".probe"
    try:
        with atomic_path(probe) as temporary:
            temporary.write_bytes(bytes(2**16))
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that processes killed within `atomic_path` left in `folder`."""
    for temporary in (*folder.glob(".*.[0-9]*.tmp"), folder / ".probe"):
        temporary.unlink(missing_ok=True)


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
