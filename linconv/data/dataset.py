"""What a data set is: its facts, its images and labels, and the error of one that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from linconv.catalogue.datasets import DatasetInfo
from linconv.results.data import Container, DataContent

if TYPE_CHECKING:
    from linconv.data.sources import ImageFiles, Images


@dataclass(frozen=True)
class Origin:
    """Where a loader has the data from.

    Args:
        container: the kind of files.
        classes: names in the order of the labels.
        decoder: library and version that turned the files into pixels.
        hashes: of the training and the test images, where the loader has computed them.
    """

    container: Container
    classes: tuple[str, ...]
    decoder: str
    hashes: tuple[np.ndarray, np.ndarray] | None = None


class Arrays(NamedTuple):
    """What a loader returns: images, uint8 (n, c, h, w) or files of them, and labels int64 (n,), on the CPU."""

    train_images: Tensor | ImageFiles
    train_labels: Tensor
    test_images: Tensor | ImageFiles
    test_labels: Tensor
    origin: Origin


def input_size(info: DatasetInfo) -> int:
    """Side of what the network sees, in pixels."""
    return info.crop_size or info.image_size


@dataclass(frozen=True)
class Dataset:
    """A data set ready for use: labels int64 (n,) on one device, images uint8 (n, c, size, size) there or streamed.

    The validation part, where one is held out, is taken from the training part; `content` describes the training part
    before that. `test_order`, int64 (n,) on the CPU, are the indices that bring the test images into an order that no
    container changes; results per image are stored in it. `digest` is that of `linconv.data.fingerprint`: a
    training goes on from a checkpoint of the same data only.
    """

    info: DatasetInfo
    train_images: Images
    train_labels: Tensor
    test_images: Images
    test_labels: Tensor
    content: DataContent
    test_order: Tensor
    digest: str
    validation_images: Images | None = None
    validation_labels: Tensor | None = None
