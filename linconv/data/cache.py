"""Decoded images, kept as arrays below `data_root`/.cache so that files are decoded once; safe to delete."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock

from linconv.data.content import content_digest, image_hashes

FOLDER = ".cache"
DIGESTS = "digests.json"
FORMAT = "1"  # of the files below; a change of what is written must change it

log = logging.getLogger("linconv")


class DecodedPart(NamedTuple):
    """Images uint8 (n, c, h, w), labels int64 (n,) and hashes of the images, uint8 (n, 32)."""

    images: np.ndarray
    labels: np.ndarray
    hashes: np.ndarray


Decoded = dict[str, DecodedPart]  # by the name of the part: "train", "test"
Decode = Callable[[], dict[str, tuple[np.ndarray, np.ndarray]]]


def files_key(files: Iterable[str], *settings: object) -> str:
    """A digest of what tells files apart unread, and of the settings that decide what becomes of them.

    Names, sizes and times of change do not do: files that exchange places keep all three. So the numbers of the files
    and the times at which the system saw them changed count too. A copy of a folder is decoded again.
    """
    key = hashlib.sha256(repr((FORMAT, *settings)).encode())
    for file in files:
        state = os.stat(file)
        told = (file, state.st_size, state.st_mtime_ns, state.st_ino, state.st_ctime_ns)
        key.update(("\0".join(map(str, told)) + "\n").encode(errors="surrogateescape"))
    return key.hexdigest()[:32]


def decode_once(root: Path, label: str, key: str, decode: Decode) -> Decoded:
    """The decoded parts: memory-mapped from the cache, or decoded and then put there.

    The arrays may be written to: a change stays in this process. A damaged entry is decoded again. Where nothing can be
    written below `root`, the parts come without a cache.

    Args:
        root: the folder of the data sets.
        label: of the data set and container; the cache keeps one entry of each.
        key: of the files, by `files_key`.
        decode: gives images and labels of every part.
    """
    shelf = root / FOLDER / label
    found = _read(shelf / key)
    if found is not None:
        return found
    try:
        shelf.mkdir(parents=True, exist_ok=True)
        # Runs start together: one decodes, the others wait here and then find the entry.
        with FileLock(root / FOLDER / f"{label}.lock"):
            found = _read(shelf / key)
            if found is None:
                found = _hashed(decode())
                _write(shelf, key, found)
            return found
    except (OSError, NotImplementedError) as error:  # the latter of a file system without locks
        reason = getattr(error, "strerror", None) or error
        log.info("decoded images are not kept in %s (%s): every run decodes them again", shelf, reason)
        return found if found is not None else _hashed(decode())


def _hashed(parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> Decoded:
    return {name: DecodedPart(images, labels, image_hashes(images, labels)) for name, (images, labels) in parts.items()}


def _read(entry: Path) -> Decoded | None:
    """The parts of an entry; None where there is none, or where it is not what was written."""
    if not entry.is_dir():
        return None
    try:
        digests = json.loads((entry / DIGESTS).read_text(encoding="ascii"))
        parts = {}
        for name in ("train", "test"):
            # mode "c": pages are shared among processes and the file never changes
            images = np.load(entry / f"{name}_images.npy", mmap_mode="c", allow_pickle=False)
            labels = np.load(entry / f"{name}_labels.npy", allow_pickle=False)
            parts[name] = DecodedPart(images, labels, image_hashes(images, labels))
        if {name: content_digest(part.hashes) for name, part in parts.items()} == digests:
            return parts
        reason = "its content is not what was written"
    except Exception as error:  # a damaged file makes the reader raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
    log.warning("the cache %s is damaged (%s): the images are decoded again", entry, reason)
    return None


def _write(shelf: Path, key: str, parts: Decoded) -> None:
    """Put an entry in place at once, and remove the label's others; the caller holds the lock."""
    for old in shelf.iterdir():  # of other files, of a process that was killed, or damaged
        shutil.rmtree(old, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=shelf))
    try:
        for name, part in parts.items():
            np.save(beside / f"{name}_images.npy", part.images)
            np.save(beside / f"{name}_labels.npy", part.labels)
        digests = {name: content_digest(part.hashes) for name, part in parts.items()}
        (beside / DIGESTS).write_text(json.dumps(digests), encoding="ascii")
        beside.chmod(0o777 & ~_umask())  # mkdtemp's is for its owner alone
        beside.rename(shelf / key)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
