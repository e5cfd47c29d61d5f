"""The data sets by name, and how one of them is loaded."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from linconv.catalogue.datasets import DATASETS, DatasetInfo
from linconv.config.folders import ImageFolderOptions
from linconv.config.names import check_known
from linconv.data.containers import load_published
from linconv.data.content import describe_content, summary
from linconv.data.dataset import Arrays, Dataset
from linconv.data.errors import DataError
from linconv.data.fingerprint import data_digest
from linconv.data.folders import describe_imagefolder, load_imagefolder, read_once
from linconv.data.overlap import warn_of_copies, warn_of_overlap
from linconv.data.resplit import resplit
from linconv.data.sources import ImageFiles, Images, StreamedImages, fits_in_memory

log = logging.getLogger("linconv")


def load(
    name: str,
    root: str | Path,
    *,
    device: torch.device | str = "cpu",
    imagefolder: ImageFolderOptions | None = None,
    workers: int = 0,
    split: int = 0,
) -> Dataset:
    """Load a data set onto a device, or prepare to stream it.

    Args:
        name: a key of `DATASETS`, or any name where `imagefolder` is given.
        root: the folder that holds the data sets' files; those missing are downloaded into it.
        device: where the tensors go, images uint8 (n, c, size, size) and labels int64 (n,).
        imagefolder: the definition of a data set that is a folder of images below `root`.
        workers: processes that decode the images of a data set that is streamed (0: this one).
        split: 0 for the data set's own parts, or the number of a new split, see `linconv.data.resplit`.

    Raises:
        ValueError: unknown name.
        DataError: files are missing and cannot be downloaded, are damaged, or do not hold what they should.
    """
    root = Path(root)
    info: DatasetInfo
    if imagefolder is not None:
        arrays = load_imagefolder(name, imagefolder, root)
    else:
        check_known([name], DATASETS, "data set")
        info = entry = DATASETS[name]
        arrays = load_published(entry, root) if entry.archives else entry.load_images(root)
    listed = arrays
    if _streams(arrays, device, imagefolder):
        log.info("images of '%s' are streamed: %d workers decode them", name, workers)
    else:
        arrays = read_once(name, arrays, root)
    own = arrays
    if split:
        arrays = resplit(name, own, split)
        warn_of_copies(name, arrays, split)
    train, test = (
        images if isinstance(images, Tensor) else StreamedImages(images, device, workers)
        for images in (arrays.train_images, arrays.test_images)
    )
    if imagefolder is not None:
        info = describe_imagefolder(name, imagefolder, train, classes=len(arrays.origin.classes))
        if not split:
            warn_of_overlap(name, listed, (train, test), root)
    _check(f"data set '{name}', training part", train, arrays.train_labels, info)
    _check(f"data set '{name}', test part", test, arrays.test_labels, info)
    content, test_order = describe_content(name, arrays, (train, test), root, split, own if split else None)
    log.info("data set '%s': %s", name, summary(content))
    return Dataset(
        info,
        _place(train, info.border, device),
        arrays.train_labels.to(device),
        _place(test, info.border, device),
        arrays.test_labels.to(device),
        content,
        test_order,
        data_digest(name, listed),
    )


def _place(images: Images, border: int, device: torch.device | str) -> Images:
    return F.pad(images, (border,) * 4).to(device) if isinstance(images, Tensor) else images


def _streams(arrays: Arrays, device: torch.device | str, imagefolder: ImageFolderOptions | None) -> bool:
    """Whether files are decoded batch by batch: ImageNet's always, other folders' as asked for, or where they must."""
    files = [images for images in (arrays.train_images, arrays.test_images) if isinstance(images, ImageFiles)]
    if not files or imagefolder is None:
        return bool(files)
    if imagefolder.stream == "auto":
        return not fits_in_memory(sum(math.prod(part.shape) for part in files), device)
    return imagefolder.stream


def _check(what: str, images: Images, labels: Tensor, info: DatasetInfo) -> None:
    side = info.image_size - 2 * info.border
    wanted = (len(labels), info.channels, side, side)
    remedy = "delete its files to have them fetched again"
    if len(labels) == 0 or tuple(images.shape) != wanted:
        raise DataError(f"{what}: images of shape {tuple(images.shape)}, not {wanted}; {remedy}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= info.classes:
        raise DataError(f"{what}: labels {low} to {high}, not 0 to {info.classes - 1}; {remedy}")
