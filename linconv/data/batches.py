"""Batches: shuffled, augmented and normalized on the device, the same on every device and from memory or files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from linconv.catalogue.datasets import DatasetInfo
from linconv.data.dataset import input_size
from linconv.data.sources import Images, fetch


class Share(NamedTuple):
    """The part of every batch that one of `of` processes takes: consecutive images, in equal numbers but for one."""

    rank: int
    of: int

    def of_batch(self, images: int, first: int = 0) -> slice:
        """The places of the share in a batch of `images` that begins at `first`.

        A batch with fewer images than processes leaves some shares empty: one image stands in for an empty share.
        """
        start = images * self.rank // self.of
        return slice(first + start, first + start + max(1, self.counted(images)))

    def counted(self, images: int) -> int:
        """The images of the share; 0 for an empty one."""
        return images * (self.rank + 1) // self.of - images * self.rank // self.of


def batches(
    images: Images,
    labels: Tensor,
    *,
    batch_size: int,
    info: DatasetInfo,
    augment: bool = False,
    shuffle: bool = False,
    generator_seed: tuple[int, int] | None = None,
    share: Share | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (x, y), x normalized float32 (b, c, h, w) and y int64 (b,); the last, smaller batch is kept.

    Order, crops and flips are drawn on the CPU from `generator_seed` alone, so a run on a GPU and a resumed
    one see the batches of an uninterrupted run on a CPU.

    Args:
        images: uint8 (n, c, h, w), or streamed.
        labels: int64 (n,), on the same device.
        batch_size: images per batch.
        info: mean, std and augmentation of the data set.
        augment: crop and flip as `info` says.
        shuffle: visit the images in a random order.
        generator_seed: (seed, epoch), both at least 0; needed to shuffle or augment.
        share: yield this part of each batch only; the images are those of the whole batches.

    Raises:
        ValueError: `batch_size` below 1, images not uint8, lengths that differ, or a seed missing.
        DataError: a streamed image cannot be decoded.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if images.dtype != torch.uint8 or len(images) != len(labels):
        raise ValueError(
            f"uint8 images and as many labels expected, not {len(images)} of {images.dtype} and {len(labels)}"
        )
    if generator_seed is None:
        if shuffle or augment:
            raise ValueError("generator_seed=(seed, epoch) is needed to shuffle or augment")
        generator_seed = (0, 0)
    n = len(images)
    places = [slice(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
    if share is not None:
        places = [share.of_batch(place.stop - place.start, place.start) for place in places]
    return _batches(images, labels, places, info, augment, shuffle, generator_seed)


def _batches(
    images: Images,
    labels: Tensor,
    places: Sequence[slice],
    info: DatasetInfo,
    augment: bool,
    shuffle: bool,
    seed: tuple[int, int],
) -> Iterator[tuple[Tensor, Tensor]]:
    n, device = len(images), images.device
    drawn = _draw(n, info, augment, shuffle, seed, device)
    normalize = Normalize(info, device)
    order = drawn.order.to(device) if isinstance(images, Tensor) else drawn.order
    wanted = [order[place] for place in places]
    with closing(fetch(images, wanted)) as fetched:
        for place, indices, x in zip(places, wanted, fetched, strict=True):
            yield normalize(drawn.move(x, place, info)), labels[indices.to(device)]


class Normalize:
    """uint8 images (b, c, h, w) to float32 with the data set's mean and standard deviation removed."""

    def __init__(self, info: DatasetInfo, device: torch.device) -> None:
        self.mean = torch.tensor(info.mean, device=device).view(1, -1, 1, 1)
        self.std = torch.tensor(info.std, device=device).view(1, -1, 1, 1)

    def __call__(self, x: Tensor) -> Tensor:
        return x.float().div_(255).sub_(self.mean).div_(self.std)


@dataclass(frozen=True, eq=False)
class BatchSource:
    """The batches of one part of a data set, epoch by epoch; the arguments are those of `batches`.

    Args:
        seed: of the run; the draws of an epoch depend on (seed, epoch) alone.
        layout: memory layout of the batches.
        share: of one of several processes; None: whole batches.
    """

    images: Images
    labels: Tensor
    batch_size: int
    info: DatasetInfo
    layout: torch.memory_format = torch.contiguous_format
    augment: bool = False
    shuffle: bool = False
    seed: int = 0
    share: Share | None = None

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch, x (b, c, h, w) in the layout and y (b,)."""
        drawn = batches(
            self.images,
            self.labels,
            batch_size=self.batch_size,
            info=self.info,
            augment=self.augment,
            shuffle=self.shuffle,
            generator_seed=(self.seed, epoch),
            share=self.share,
        )
        return ((x.contiguous(memory_format=self.layout), y) for x, y in drawn)

    def whole(self, epoch: int) -> tuple[Tensor, Tensor]:
        """All images of an epoch at once, in its order, cropped and flipped but not yet normalized.

        Consecutive slices of `batch_size`, normalized, are the batches of `__call__`, bit for bit.

        Returns:
            uint8 (n, c, h, w) and int64 (n,), on the device.

        Raises:
            TypeError: the images are streamed from files.
        """
        if not isinstance(self.images, Tensor):
            raise TypeError("streamed images are not in memory as a whole")
        device = self.images.device
        drawn = _draw(len(self.images), self.info, self.augment, self.shuffle, (self.seed, epoch), device)
        order = drawn.order.to(device)
        return drawn.move(self.images[order], slice(None), self.info), self.labels[order]


class _Draws(NamedTuple):
    """Order, crops and flips of one epoch; `order` is on the CPU, the others are on the device."""

    order: Tensor
    top: Tensor
    left: Tensor
    flips: Tensor | None
    moves: bool

    def move(self, x: Tensor, here: slice, info: DatasetInfo) -> Tensor:
        """Crop and flip the images at the places `here` of the order."""
        if self.moves:
            x = crop(x, self.top[here], self.left[here], info.crop_padding, input_size(info))
        if self.flips is not None:
            x = torch.where(self.flips[here].view(-1, 1, 1, 1), x.flip(-1), x)
        return x


def _draw(
    n: int, info: DatasetInfo, augment: bool, shuffle: bool, seed: tuple[int, int], device: torch.device
) -> _Draws:
    room = info.image_size + 2 * info.crop_padding - input_size(info)
    # All draws of the epoch at once and always in this order: neither batch size nor device can change them.
    generator = _generator(seed)
    order = torch.randperm(n, generator=generator, device="cpu")
    top, left = torch.randint(room + 1, (2, n), generator=generator, device="cpu").to(device)
    flips = (torch.rand(n, generator=generator, device="cpu") < 0.5).to(device)
    if not shuffle:
        order = torch.arange(n, device="cpu")
    if not augment:
        top, left = torch.full((2, n), room // 2, device=device)
    moves = input_size(info) < info.image_size or (augment and info.crop_padding > 0)
    return _Draws(order, top, left, flips if augment and info.flip else None, moves)


def crop(images: Tensor, top: Tensor, left: Tensor, padding: int, size: int | None = None) -> Tensor:
    """Cut each image, at its own offset, out of itself padded by `padding` zero pixels.

    Args:
        images: (b, c, h, w).
        top, left: int64 (b,), from 0 to 2 * `padding` (to h + 2 * `padding` - `size`); without `size`, `padding`
            itself gives the image back.
        size: side of what is cut out, that of the image where it is not given.

    Returns:
        (b, c, h, w), or (b, c, size, size)
    """
    b, _, h, w = images.shape
    padded = F.pad(images, (padding,) * 4)
    windows = padded.unfold(2, size or h, 1).unfold(3, size or w, 1)  # (b, c, offsets, offsets, h, w), a view
    return windows[torch.arange(b, device=images.device), :, top, left]


def _generator(seed: tuple[int, int]) -> torch.Generator:
    # torch's CPU generator uses 32 bits of its seed only, so (seed, epoch) is hashed, not shifted together.
    state = np.random.SeedSequence(seed).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))
