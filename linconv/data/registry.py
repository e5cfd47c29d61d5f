"""The data sets by name, and how one of them is loaded."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from linconv.config.folders import ImageFolderOptions
from linconv.config.names import check_known
from linconv.data.dataset import DataError, Dataset, DatasetInfo
from linconv.data.embedded import load_digits, load_synthetic
from linconv.data.folders import describe_imagefolder, load_imagefolder
from linconv.data.published import load_cifar, load_mnist, load_svhn

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
}


def load(
    name: str,
    root: str | Path,
    *,
    device: torch.device | str = "cpu",
    imagefolder: ImageFolderOptions | None = None,
) -> Dataset:
    """Load a data set onto a device.

    Args:
        name: a key of `DATASETS`, or any name where `imagefolder` is given.
        root: the folder that holds the data sets' files; those missing are downloaded into it.
        device: where the tensors go, images uint8 (n, c, size, size) and labels int64 (n,).
        imagefolder: the definition of a data set that is a folder of images below `root`.

    Raises:
        ValueError: unknown name.
        DataError: files are missing and cannot be downloaded, are damaged, or do not hold what they should.
    """
    if imagefolder is not None:
        arrays = load_imagefolder(name, imagefolder, Path(root))
        info = describe_imagefolder(name, imagefolder, arrays)
    else:
        check_known([name], DATASETS, "data set")
        info = DATASETS[name]
        arrays = info.loader(Path(root))
    tensors = []
    for part, images, labels in (("training", *arrays[:2]), ("test", *arrays[2:])):
        images = F.pad(images, (info.border,) * 4)
        _check(f"data set '{name}', {part} part", images, labels, info)
        tensors += [images.to(device), labels.to(device)]
    return Dataset(info, *tensors)


def _check(what: str, images: Tensor, labels: Tensor, info: DatasetInfo) -> None:
    wanted = (len(labels), info.channels, info.image_size, info.image_size)
    remedy = "delete its files to have them fetched again"
    if len(labels) == 0 or images.shape != wanted:
        raise DataError(f"{what}: images of shape {tuple(images.shape)}, not {wanted}; {remedy}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= info.classes:
        raise DataError(f"{what}: labels {low} to {high}, not 0 to {info.classes - 1}; {remedy}")
