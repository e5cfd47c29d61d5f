"""The data sets by name, and how one of them is loaded."""

from __future__ import annotations

import logging
import math
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from linconv.config.folders import ImageFolderOptions
from linconv.config.names import check_known
from linconv.data import imagenet
from linconv.data.containers import ARCHIVES, load_published
from linconv.data.content import describe_content, summary
from linconv.data.dataset import Arrays, DataError, Dataset, DatasetInfo
from linconv.data.embedded import load_digits, load_synthetic
from linconv.data.folders import describe_imagefolder, load_imagefolder, read_once
from linconv.data.imagenet import load_imagenet
from linconv.data.overlap import warn_of_overlap
from linconv.data.published import load_cifar, load_mnist, load_svhn
from linconv.data.sources import ImageFiles, Images, StreamedImages, fits_in_memory

log = logging.getLogger("linconv")

# Normalisation and augmentation of the paper's five data sets follow its released code; digits and synthetic
# carry the statistics of their own training part and, like MNIST, are not augmented.
DATASETS: dict[str, DatasetInfo] = {
    "digits": DatasetInfo(load_digits, classes=10, channels=1, mean=(0.3051,), std=(0.3238,)),
    "synthetic": DatasetInfo(
        load_synthetic, classes=10, channels=3, mean=(0.4926, 0.5037, 0.5074), std=(0.2126, 0.2166, 0.2080)
    ),
    "mnist": DatasetInfo(partial(load_mnist, "MNIST"), classes=10, channels=1, mean=(0.1307,), std=(0.3015,), border=2),
    "fashionmnist": DatasetInfo(
        partial(load_mnist, "FashionMNIST"),
        classes=10,
        channels=1,
        mean=(0.2860,),
        std=(0.3205,),
        border=2,
        flip=True,
    ),
    "cifar10": DatasetInfo(
        partial(load_cifar, "CIFAR10"),
        classes=10,
        channels=3,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        crop_padding=4,
        flip=True,
    ),
    "cifar100": DatasetInfo(
        partial(load_cifar, "CIFAR100"),
        classes=100,
        channels=3,
        mean=(0.5071, 0.4866, 0.4409),
        std=(0.2009, 0.1984, 0.2023),
        crop_padding=4,
        flip=True,
    ),
    "svhn": DatasetInfo(
        load_svhn,
        classes=10,
        channels=3,
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1201, 0.1231, 0.1052),
        crop_padding=4,
    ),
    # not of the paper; the statistics are those that torchvision's pretrained networks use
    "imagenet": DatasetInfo(
        load_imagenet,
        classes=imagenet.CLASSES,
        channels=3,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        flip=True,
        image_size=imagenet.IMAGE_SIZE,
        crop_size=imagenet.CROP_SIZE,
    ),
}


def load(
    name: str,
    root: str | Path,
    *,
    device: torch.device | str = "cpu",
    imagefolder: ImageFolderOptions | None = None,
    workers: int = 0,
) -> Dataset:
    """Load a data set onto a device, or prepare to stream it.

    Args:
        name: a key of `DATASETS`, or any name where `imagefolder` is given.
        root: the folder that holds the data sets' files; those missing are downloaded into it.
        device: where the tensors go, images uint8 (n, c, size, size) and labels int64 (n,).
        imagefolder: the definition of a data set that is a folder of images below `root`.
        workers: processes that decode the images of a data set that is streamed (0: this one).

    Raises:
        ValueError: unknown name.
        DataError: files are missing and cannot be downloaded, are damaged, or do not hold what they should.
    """
    root = Path(root)
    if imagefolder is not None:
        arrays = load_imagefolder(name, imagefolder, root)
    else:
        check_known([name], DATASETS, "data set")
        info = DATASETS[name]
        arrays = load_published(name, info, root) if name in ARCHIVES else info.loader(root)
    listed = arrays
    if _streams(arrays, device, imagefolder):
        log.info("images of '%s' are streamed: %d workers decode them", name, workers)
    else:
        arrays = read_once(name, arrays, root)
    train, test = (
        images if isinstance(images, Tensor) else StreamedImages(images, device, workers)
        for images in (arrays.train_images, arrays.test_images)
    )
    if imagefolder is not None:
        info = describe_imagefolder(name, imagefolder, train, classes=len(arrays.origin.classes))
        warn_of_overlap(name, listed, (train, test), root)
    _check(f"data set '{name}', training part", train, arrays.train_labels, info)
    _check(f"data set '{name}', test part", test, arrays.test_labels, info)
    content, test_order = describe_content(name, arrays, (train, test), root)
    log.info("data set '%s': %s", name, summary(content))
    return Dataset(
        info,
        _place(train, info.border, device),
        arrays.train_labels.to(device),
        _place(test, info.border, device),
        arrays.test_labels.to(device),
        content,
        test_order,
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
