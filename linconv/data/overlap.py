"""Warns of images that are in the training and in the test part."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
from torch import Tensor

from linconv.data.content import image_hashes
from linconv.data.dataset import Arrays
from linconv.data.sources import ImageFiles, Images
from linconv.data.walk import shown

TAIL = 4096  # bytes at the end of a file, which differ between compressed images

log = logging.getLogger("linconv")


def warn_of_overlap(name: str, arrays: Arrays, parts: tuple[Images, Images], root: Path) -> None:
    """Log a warning where test images are also training images, with whatever label.

    Images in memory are compared by their pixels as the network gets them, streamed ones by the bytes of their files.
    Files are named relative to `root`, since warnings go into results.
    """
    train, test = arrays.train_images, arrays.test_images
    if not (isinstance(train, ImageFiles) and isinstance(test, ImageFiles)):
        return
    if isinstance(parts[0], Tensor) and isinstance(parts[1], Tensor):
        pairs = _same_pixels(parts[0], parts[1])
    else:
        pairs = _same_files(train, test)
    if pairs:
        other = sum(bool(arrays.train_labels[i] != arrays.test_labels[j]) for i, j in pairs)
        i, j = pairs[0]
        log.warning(
            "data set '%s': %d of %d test images are in the training part too, %d of them with another label (%s is "
            "%s); remove them from one part, or the test accuracy says too much",
            name,
            len(pairs),
            len(test),
            other,
            _file(test, j, root),
            _file(train, i, root),
        )


def warn_of_copies(name: str, arrays: Arrays, split: int) -> None:
    """Log a warning where a new split has put copies of an image into both parts, with whatever label."""
    train, test = arrays.train_images, arrays.test_images
    if not (isinstance(train, Tensor) and isinstance(test, Tensor)):
        return
    pairs = _same_pixels(train, test)
    if pairs:
        other = sum(bool(arrays.train_labels[i] != arrays.test_labels[j]) for i, j in pairs)
        log.warning(
            "data set '%s', split %d: %d of %d test images are in the training part too, %d of them with another "
            "label; the data set holds copies: keep one of each, or the test accuracy says too much",
            name,
            split,
            len(pairs),
            len(test),
            other,
        )


def _file(files: ImageFiles, index: int, root: Path) -> str:
    return shown(os.path.relpath(os.fsdecode(files.paths[index]), root))


def _same_pixels(train: Tensor, test: Tensor) -> list[tuple[int, int]]:
    known: dict[bytes, int] = {}
    for i, row in enumerate(image_hashes(train.numpy(), np.zeros(len(train), np.int64))):
        known.setdefault(row.tobytes(), i)
    found = (known.get(row.tobytes()) for row in image_hashes(test.numpy(), np.zeros(len(test), np.int64)))
    return [(i, j) for j, i in enumerate(found) if i is not None]


def _same_files(train: ImageFiles, test: ImageFiles) -> list[tuple[int, int]]:
    """Only files of equal size are opened, and only those with an equal end are read."""
    sizes = [os.stat(path).st_size for path in test.paths]
    wanted = set(sizes)
    known: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for i, path in enumerate(train.paths):
        size = os.stat(path).st_size
        if size in wanted:
            known[size, _hash(path, size - TAIL)].append(i)
    pairs = []
    for j, (path, size) in enumerate(zip(test.paths, sizes, strict=True)):
        alike = known.get((size, _hash(path, size - TAIL)), ())
        pairs += [(i, j) for i in alike if _hash(train.paths[i]) == _hash(path)][:1]
    return pairs


def _hash(path: bytes, start: int = 0) -> bytes:
    with open(path, "rb") as stream:
        stream.seek(max(start, 0))
        return hashlib.sha256(stream.read()).digest()
