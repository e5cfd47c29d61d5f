"""The content of a data set, independent of container and order: hashes of its images, digests of its parts.

The hash of an image is SHA-256 over its label (2 bytes, big-endian) and its pixels (uint8, height-width-channel
order, without a border). The digest of a part is the sum of its hashes modulo 2^256, as 64 hexadecimal digits.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from linconv.catalogue.datasets import DATASETS
from linconv.data.dataset import Arrays
from linconv.data.errors import DataError
from linconv.data.sources import ImageFiles, Images
from linconv.results.data import DataContent, PartContent

LISTED = 20  # classes in a log line
CHUNK = 500  # images whose pixels are rearranged at once: small enough for the processor's cache


class PartDigests(NamedTuple):
    train: str
    test: str


# None: not known until someone who has the original files adds what `linconv.data.load` reports of them.
KNOWN: dict[str, PartDigests | None] = {
    name: PartDigests(*entry.digests) if entry.digests else None for name, entry in DATASETS.items() if entry.archives
}


def image_hashes(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """SHA-256 of every image with its label, uint8 (n, 32).

    Args:
        images: uint8 (n, c, h, w), without a border.
        labels: integers (n,) from 0 to 65535.
    """
    found = bytearray()
    for start in range(0, len(images), CHUNK):
        pixels = np.ascontiguousarray(images[start : start + CHUNK].transpose(0, 2, 3, 1))
        numbers = labels[start : start + CHUNK].astype(">u2").view(np.uint8).reshape(-1, 2)
        for record in np.concatenate([numbers, pixels.reshape(len(pixels), -1)], axis=1):
            found += hashlib.sha256(record).digest()
    return np.frombuffer(bytes(found), np.uint8).reshape(-1, 32)


def content_digest(hashes: np.ndarray) -> str:
    """The digest of a part from the hashes of its images: 64 hexadecimal digits."""
    words = hashes.reshape(-1, 32).view(">u4").sum(axis=0, dtype=np.uint64)  # 8 sums, exact below 2^32 images
    total = sum(int(word) << (32 * place) for place, word in enumerate(reversed(words)))
    return f"{total % 2**256:064x}"


def canonical_order(hashes: np.ndarray) -> Tensor:
    """The indices int64 (n,) that sort images by their hashes; the same images in the same order in any container."""
    words = hashes.reshape(-1, 32).view(">u8").astype(np.uint64)
    return torch.from_numpy(np.lexsort(words.T[::-1]).astype(np.int64))


def describe_content(
    name: str, arrays: Arrays, parts: tuple[Images, Images], root: Path, split: int = 0, source: Arrays | None = None
) -> tuple[DataContent, Tensor]:
    """What the data set `name` holds, and the canonical order of its test images.

    Args:
        arrays: what its loader gave.
        parts: its training and test images, decoded or streamed, without a border. Streamed images have no digest,
            and the order of their files is their canonical order.
        root: the folder that they come from, for messages.
        split: the number of a new split that `arrays` are of; 0 for the data set's own parts.
        source: of a new split, what it was drawn from: the data set's own parts, whose digests may be known.

    Raises:
        DataError: a digest is known, and the content has another.
    """
    origin, hashes = arrays.origin, part_hashes(arrays, parts)
    contents = []
    for own, labels in zip(hashes, (arrays.train_labels, arrays.test_labels), strict=True):
        counts = torch.bincount(labels, minlength=len(origin.classes)).tolist()
        digest = None if own is None else content_digest(own)
        contents.append(PartContent(images=len(labels), per_class=tuple(counts), digest=digest))
    train, test = contents
    digests = [train.digest, test.digest]
    if source is not None:
        published = part_hashes(source, (source.train_images, source.test_images))
        digests = [None if own is None else content_digest(own) for own in published]
    known = _compare(name, root, origin.container, *digests)
    content = DataContent(
        name=name,
        container=origin.container,
        decoder=origin.decoder,
        known=known,
        classes=origin.classes,
        train=train,
        test=test,
        split=split,
    )
    order = torch.arange(test.images, device="cpu") if hashes[1] is None else canonical_order(hashes[1])
    return content, order


def part_hashes(
    arrays: Arrays, parts: tuple[Images | ImageFiles, Images | ImageFiles]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The hashes of both parts, those of the loader where it has computed them; None for images not in memory."""
    if arrays.origin.hashes is not None:
        return arrays.origin.hashes
    train, test = (
        image_hashes(images.numpy(), labels.numpy()) if isinstance(images, Tensor) else None
        for images, labels in zip(parts, (arrays.train_labels, arrays.test_labels), strict=True)
    )
    return train, test


def summary(content: DataContent) -> str:
    """One line for the log."""
    checked = {True: "the published content", None: "no digest to compare with is known"}[content.known]
    checked += f", split anew (split {content.split})" if content.split else ""
    counts = zip(content.classes, content.train.per_class, content.test.per_class, strict=True)
    classes = [f"{name} ({train} + {test})" for name, train, test in counts]
    more = f" and {len(classes) - LISTED} more" if len(classes) > LISTED else ""
    return (
        f"{content.train.images} training and {content.test.images} test images from {content.container}, {checked}; "
        f"{len(classes)} classes: {', '.join(classes[:LISTED])}{more}"
    )


def _compare(name: str, root: Path, container: str, train: str | None, test: str | None) -> Literal[True] | None:
    known = KNOWN.get(name)
    if known is None:
        return None
    for part, found, wanted in (("training", train, known.train), ("test", test, known.test)):
        if found != wanted:
            raise DataError(
                f"data set '{name}', {part} part ({container} below {root}): images are missing, changed, doubled or "
                f"have wrong labels (digest {found}, the published data set's is {wanted}); replace the files by a "
                "complete, lossless copy"
            )
    return True
