"""Arrays in .npz files: same arrays, same bytes; and one reader that turns every damage into one message."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from linconv.results.files import atomic_path
from linconv.results.record import ResultError, unreadable


def write_npz(path: Path, arrays: Mapping[str, np.ndarray], *, compress: bool = True) -> Path:
    """Write a .npz whose bytes depend on the arrays alone: every member has one fixed date.

    Args:
        compress: False makes the bytes independent of the version of zlib as well.
    """
    content = io.BytesIO()  # a disk that is full would make zipfile raise other errors than the system's
    with zipfile.ZipFile(content, "w") as archive:
        for name in sorted(arrays):
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(arrays[name]), allow_pickle=False)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())
    return path


def read_npz(
    path: Path, *, remedy: str, sha256: str | None = None, names: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """All arrays of a .npz file, whole and checked.

    Args:
        remedy: what to do about a bad file, for the message.
        sha256: of the file, where it is known.
        names: arrays that the file must hold.

    Raises:
        ResultError: the file is missing, damaged, another one than `sha256` says, or lacks an array.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, remedy) from None
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ResultError(f"{path}: is not the file that was written with its result; {remedy}")
    try:
        arrays = _arrays(content)
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds for damaged bytes
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ResultError(f"{path}: is damaged ({reason}); {remedy}") from None
    if missing := [name for name in names if name not in arrays]:
        raise ResultError(f"{path}: lacks the array '{missing[0]}'; {remedy}")
    return arrays


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        # zipfile believes the list's length in bytes, and so overlooks members where that is changed
        if len(members) != int.from_bytes(content[-12:-10], "little"):
            raise ValueError("the list of members is not whole")
        for member in members:
            # a member is read to its end, where zipfile compares its checksum; np.load may stop before
            stream = io.BytesIO(archive.read(member))
            name = member.filename.removesuffix(".npy")
            if name == member.filename or name in arrays:
                raise ValueError(f"unexpected member {member.filename!r}")
            arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
            if stream.read(1):
                raise ValueError(f"{member.filename} is longer than its array")
    return arrays
