"""What a data set is: its facts, its tensors, and the error of one that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from linconv.config.errors import UserError


class DataError(UserError):
    """A data set that cannot be used; the message names it, what is missing or damaged, and the remedy."""


class Arrays(NamedTuple):
    """What a loader returns: images uint8 (n, c, h, w) and labels int64 (n,) of both parts, on the CPU."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


@dataclass(frozen=True)
class DatasetInfo:
    """The facts of a data set; sizes in pixels, `mean` and `std` per channel of values in [0, 1].

    Images are `image_size` x `image_size`, with the `border` zero pixels that are added around each when it is
    loaded. `crop_padding` and `flip` are the augmentation: a random crop out of an image padded by that many zero
    pixels, a horizontal flip of every second image on average.
    """

    loader: Callable[[Path], Arrays]
    classes: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    border: int = 0
    crop_padding: int = 0
    flip: bool = False
    image_size: int = 32


@dataclass(frozen=True)
class Dataset:
    """A loaded data set: images uint8 (n, c, size, size) and labels int64 (n,), all on one device."""

    info: DatasetInfo
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
