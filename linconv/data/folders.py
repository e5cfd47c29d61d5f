"""One's own data sets: folders of class folders of image files, found and decoded by torchvision."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from linconv.config.folders import ImageFolderOptions
from linconv.data.dataset import Arrays, DataError, DatasetInfo

CHANNELS = 3  # every image is read as RGB, a grey one with three equal channels


class _Files(NamedTuple):
    """Class names in order, and (file, label) of every image, by class and then by file name."""

    classes: list[str]
    samples: list[tuple[str, int]]


def load_imagefolder(name: str, options: ImageFolderOptions, root: Path) -> Arrays:
    """Read a folder of images, (n, 3, size, size); classes are numbered in the order of their names.

    Args:
        name: of the data set, for messages.
        options: its definition.
        root: the folder that `options.path` is relative to.

    Raises:
        DataError: the folder or a part is missing, a class has no image, train/ and test/ differ in their classes,
            or a file cannot be decoded.
    """
    try:
        train, test = _find_parts(root / options.path, options)
        return Arrays(*_read(train, options.image_size), *_read(test, options.image_size))
    except DataError as error:
        raise DataError(f"data set '{name}': {error}") from None


def describe_imagefolder(name: str, options: ImageFolderOptions, arrays: Arrays) -> DatasetInfo:
    """The facts of a folder that has been read; mean and standard deviation are measured where not given.

    Raises:
        DataError: a channel of the training part is constant, so it cannot be normalised.
    """
    mean, std = (options.mean, options.std) if options.mean and options.std else _statistics(arrays.train_images)
    if min(std) == 0:
        raise DataError(
            f"data set '{name}': a colour channel has one value in all training images; give mean and std, "
            f"or look at the files in {options.path}"
        )
    return DatasetInfo(
        partial(load_imagefolder, name, options),
        classes=int(arrays.train_labels.max()) + 1,
        channels=CHANNELS,
        mean=mean,
        std=std,
        crop_padding=options.crop_padding,
        flip=options.flip,
        image_size=options.image_size,
    )


def _find_parts(folder: Path, options: ImageFolderOptions) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """The (file, label) pairs of the training and the test part."""
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; put the images there, or change data_root or the data set's path")
    # A class may itself be called "train": a part is a folder that holds folders.
    parts = [part for part in ("train", "test") if _holds_folders(folder / part)]
    if len(parts) == 1:
        other = "test" if parts == ["train"] else "train"
        raise DataError(
            f"{folder} has {parts[0]}/<class>/ but no {other}/<class>/; add it, or move the class folders of "
            f"{parts[0]}/ one level up to have them split"
        )
    if not parts:
        return _split(_find(folder), options)
    train, test = (_find(folder / part) for part in parts)
    if train.classes != test.classes:
        differing = sorted(set(train.classes) ^ set(test.classes))
        lines = [f"'{c}' only in {'train' if c in train.classes else 'test'}/" for c in differing[:5]]
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise DataError(f"{folder}: train/ and test/ must have the same classes; {', '.join(lines)}{more}")
    return train.samples, test.samples


def _holds_folders(path: Path) -> bool:
    return path.is_dir() and any(entry.is_dir() for entry in os.scandir(path))


def _find(folder: Path) -> _Files:
    # torchvision takes seconds to import, and the embedded data sets do without it.
    from torchvision.datasets import ImageFolder

    try:
        found = ImageFolder(folder)
    except FileNotFoundError as error:  # it names the folder or the classes, and the extensions it looks for
        raise DataError(f"{folder}: {' '.join(str(error).split())}") from None
    if len(found.classes) < 2:
        raise DataError(f"{folder}: at least two class folders are needed, found only '{found.classes[0]}'")
    return _Files(found.classes, found.samples)


def _split(files: _Files, options: ImageFolderOptions) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """The same share of every class to the test part, at least one image to each part."""
    train, test = [], []
    for label, class_name in enumerate(files.classes):
        samples = [sample for sample in files.samples if sample[1] == label]
        if len(samples) < 2:
            raise DataError(f"class '{class_name}' has one image; training and test part need one each")
        held_out = min(max(1, round(options.test_share * len(samples))), len(samples) - 1)
        # RandomState's stream is frozen by numpy; a stream per class keeps the split of the others when one grows.
        order = np.random.RandomState([options.split_seed, label]).permutation(len(samples))
        test += [samples[i] for i in sorted(order[:held_out])]
        train += [samples[i] for i in sorted(order[held_out:])]
    return train, test


def _read(samples: list[tuple[str, int]], size: int) -> tuple[Tensor, Tensor]:
    """Images uint8 (n, 3, size, size) and labels int64 (n,)."""
    pixels = np.empty((len(samples), CHANNELS, size, size), dtype=np.uint8)

    def decode(i: int) -> None:
        pixels[i] = _decode(samples[i][0], size)

    # Decoding releases the interpreter: two threads take 0.7 of the time of one.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for _ in pool.map(decode, range(len(samples))):
            pass
    return torch.from_numpy(pixels), torch.tensor([label for _, label in samples])


def _decode(file: str, size: int) -> np.ndarray:
    """One image, uint8 (3, size, size)."""
    from torchvision.datasets.folder import default_loader
    from torchvision.transforms.v2.functional import resize

    try:
        image = default_loader(file)
    except Exception as error:  # a damaged file makes a decoder raise anything, SyntaxError and struct.error included
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file} cannot be decoded ({reason}); replace or delete it") from None
    if image.size != (size, size):
        image = resize(image, [size, size], antialias=True)  # bilinear
    return np.asarray(image).transpose(2, 0, 1)


def _statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of values in [0, 1], exact, from counts of the 256 values."""
    values = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in images.unbind(1):
        # some images at a time: bincount widens every byte to eight
        counts = torch.stack([torch.bincount(some.flatten(), minlength=256) for some in channel.split(1000)]).sum(0)
        share = counts.double() / channel.numel()
        mean.append(float(share @ values))
        std.append(float(share @ (values - mean[-1]) ** 2) ** 0.5)
    return tuple(mean), tuple(std)
