"""Batches from tensors on a device: shuffled, augmented and normalised, the same on every device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from linconv.data.dataset import DatasetInfo


def batches(
    images: Tensor,
    labels: Tensor,
    *,
    batch_size: int,
    info: DatasetInfo,
    augment: bool = False,
    shuffle: bool = False,
    generator_seed: tuple[int, int] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (x, y), x normalised float32 (b, c, h, w) and y int64 (b,); the last, smaller batch is kept.

    Order, crops and flips are drawn on the CPU from `generator_seed` alone, so a run on a GPU and a resumed
    one see the batches of an uninterrupted run on a CPU.

    Args:
        images: uint8 (n, c, h, w).
        labels: int64 (n,), on the same device.
        batch_size: images per batch.
        info: mean, std and augmentation of the data set.
        augment: crop and flip as `info` says.
        shuffle: visit the images in a random order.
        generator_seed: (seed, epoch), both at least 0; needed to shuffle or augment.

    Raises:
        ValueError: `batch_size` below 1, images not uint8, lengths that differ, or a seed missing.
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
    return _batches(images, labels, batch_size, info, augment, shuffle, generator_seed)


def _batches(
    images: Tensor,
    labels: Tensor,
    batch_size: int,
    info: DatasetInfo,
    augment: bool,
    shuffle: bool,
    seed: tuple[int, int],
) -> Iterator[tuple[Tensor, Tensor]]:
    n, device = len(images), images.device
    # All draws of the epoch at once and always in this order: neither batch size nor device can change them.
    generator = _generator(seed)
    order = torch.randperm(n, generator=generator)
    top, left = torch.randint(2 * info.crop_padding + 1, (2, n), generator=generator).to(device)
    flips = (torch.rand(n, generator=generator) < 0.5).to(device)
    order = (order if shuffle else torch.arange(n)).to(device)
    mean = torch.tensor(info.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(info.std, device=device).view(1, -1, 1, 1)
    for start in range(0, n, batch_size):
        here = slice(start, start + batch_size)
        x = images[order[here]]
        if augment and info.crop_padding:
            x = crop(x, top[here], left[here], info.crop_padding)
        if augment and info.flip:
            x = torch.where(flips[here].view(-1, 1, 1, 1), x.flip(-1), x)
        yield x.float().div_(255).sub_(mean).div_(std), labels[order[here]]


def crop(images: Tensor, top: Tensor, left: Tensor, padding: int) -> Tensor:
    """Cut each image, at its own offset, out of itself padded by `padding` zero pixels.

    Args:
        images: (b, c, h, w).
        top, left: int64 (b,), from 0 to 2 * `padding`; `padding` itself gives the image back.

    Returns:
        (b, c, h, w)
    """
    b, _, h, w = images.shape
    windows = F.pad(images, (padding,) * 4).unfold(2, h, 1).unfold(3, w, 1)  # (b, c, 2p + 1, 2p + 1, h, w), a view
    return windows[torch.arange(b, device=images.device), :, top, left]


def _generator(seed: tuple[int, int]) -> torch.Generator:
    # torch's CPU generator uses 32 bits of its seed only, so (seed, epoch) is hashed, not shifted together.
    state = np.random.SeedSequence(seed).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))
