"""Files of `torch.save`, with a checksum where one is wanted; errors are those of the system."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from linconv.results import atomic_path
from linconv.stopping import check

DIGEST_BYTES = hashlib.sha256().digest_size
_BLOCK = 2**20


class _Stream:
    """What `torch.save` writes to: torch makes a RuntimeError of an error of the system, and says nothing of a disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.error: BaseException | None = None

    def write(self, data: Any) -> int:
        try:
            self._file.write(data)
        except BaseException as error:
            self.error = self.error or error
            raise
        self.digest.update(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        self._file.flush()


def write_torch(path: Path, value: Any, *, checksum: bool = False, previous: Path | None = None) -> str:
    """Write a value by `torch.save`, atomically; the same value gives the same bytes.

    Returns:
        The SHA-256 of these bytes.

    Args:
        checksum: append the SHA-256 of it.
        previous: where the old file goes, see `atomic_path`.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_path(path, previous=previous) as temporary, temporary.open("wb") as file:
        stream = _Stream(file)
        try:
            torch.save(value, cast(IO[bytes], stream))
        except Exception:
            check()
            if stream.error is None:
                raise
            raise stream.error from None
        if checksum:
            file.write(stream.digest.digest())
    return stream.digest.hexdigest()


def read_torch(path: Path) -> Any:
    """The value of a file with a checksum, read without running code from it.

    Raises:
        ValueError: the file is damaged.
        OSError: the system does not give it.
        Exception: whatever torch raises for a value of another kind.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - DIGEST_BYTES
        while left > 0 and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
        if file.read() != digest.digest():
            raise ValueError("damaged: its content does not match its checksum")
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)
