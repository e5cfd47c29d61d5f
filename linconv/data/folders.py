"""One's own data sets: folders of class folders of image files, found by torchvision."""

from __future__ import annotations

import itertools
import os
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
import torch
from torch import Tensor

from linconv.config.folders import ImageFolderOptions
from linconv.data.dataset import Arrays, DataError, DatasetInfo, Origin
from linconv.data.sources import CHANNELS, ImageFiles, Images, fetch

Samples = list[tuple[str, int]]  # (file, label)


class Found(NamedTuple):
    """Class names in order, and (file, label) of every image, by class and then by file name."""

    classes: list[str]
    samples: list[tuple[str, int]]


def load_imagefolder(name: str, options: ImageFolderOptions, root: Path) -> Arrays:
    """Find the files of a folder of images; classes are numbered in the order of their names.

    Args:
        name: of the data set, for messages.
        options: its definition.
        root: the folder that `options.path` is relative to.

    Raises:
        DataError: the folder or a part is missing, a class has no image, or train/ and test/ differ in their classes.
    """
    try:
        classes, train, test = _find_parts(root / options.path, options)
        origin = Origin("image folder", tuple(classes), decoder())
        files = (*list_files(name, train, options.image_size), *list_files(name, test, options.image_size))
        return Arrays(*files, origin)
    except DataError as error:
        raise DataError(f"data set '{name}': {error}") from None


def describe_imagefolder(name: str, options: ImageFolderOptions, images: Images, classes: int) -> DatasetInfo:
    """The facts of a folder; mean and standard deviation are measured on the training images where not given.

    Raises:
        DataError: a channel of the training part is constant, so it cannot be normalised; or a streamed image
            cannot be decoded.
    """
    mean, std = (options.mean, options.std) if options.mean and options.std else _statistics(images)
    if min(std) == 0:
        raise DataError(
            f"data set '{name}': a colour channel has one value in all training images; give mean and std, "
            f"or look at the files in {options.path}"
        )
    return DatasetInfo(
        partial(load_imagefolder, name, options),
        classes=classes,
        channels=CHANNELS,
        mean=mean,
        std=std,
        crop_padding=options.crop_padding,
        flip=options.flip,
        image_size=options.image_size,
    )


def decoder() -> str:
    """What decodes and resizes the files, with its version."""
    return f"Pillow {PIL.__version__}"


def _find_parts(folder: Path, options: ImageFolderOptions) -> tuple[list[str], Samples, Samples]:
    """The class names, and the (file, label) pairs of the training and the test part."""
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
        found = find_classes(folder)
        return found.classes, *_split(found, options)
    train, test = (find_classes(folder / part) for part in parts)
    same_classes(folder, {"train": train, "test": test})
    return train.classes, train.samples, test.samples


def same_classes(folder: Path, parts: dict[str, Found]) -> None:
    """Raise a DataError where the two parts of `folder` differ in their classes."""
    (first, one), (second, other) = parts.items()
    if one.classes != other.classes:
        differing = sorted(set(one.classes) ^ set(other.classes))
        lines = [f"'{c}' only in {first if c in one.classes else second}/" for c in differing[:5]]
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise DataError(f"{folder}: {first}/ and {second}/ must have the same classes; {', '.join(lines)}{more}")


def _holds_folders(path: Path) -> bool:
    return path.is_dir() and any(entry.is_dir() for entry in os.scandir(path))


def find_classes(folder: Path) -> Found:
    """The class folders in `folder` and the image files in them.

    Raises:
        DataError: there are fewer than two, or one holds no image or cannot be read.
    """
    # torchvision takes seconds to import, and the embedded data sets do without it.
    from torchvision.datasets import ImageFolder

    def refuse(error: OSError) -> None:
        raise error

    try:
        for _ in os.walk(folder, onerror=refuse, followlinks=True):
            pass  # torchvision would take a folder that may not be read for an empty one
        found = ImageFolder(folder)
    except FileNotFoundError as error:  # it names the folder or the classes, and the extensions it looks for
        raise DataError(f"{folder}: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}); make it readable") from None
    if len(found.classes) < 2:
        raise DataError(f"{folder}: at least two class folders are needed, found only '{found.classes[0]}'")
    return Found(found.classes, found.samples)


def _split(files: Found, options: ImageFolderOptions) -> tuple[Samples, Samples]:
    """The same share of every class to the test part, at least one image to each part."""
    train, test = [], []
    for label, group in itertools.groupby(files.samples, key=itemgetter(1)):
        samples, class_name = list(group), files.classes[label]
        if len(samples) < 2:
            raise DataError(f"class '{class_name}' has one image; training and test part need one each")
        held_out = min(max(1, round(options.test_share * len(samples))), len(samples) - 1)
        # RandomState's stream is frozen by numpy; a stream per class keeps the split of the others when one grows.
        order = np.random.RandomState([options.split_seed, label]).permutation(len(samples))
        test += [samples[i] for i in sorted(order[:held_out])]
        train += [samples[i] for i in sorted(order[held_out:])]
    return train, test


def list_files(name: str, samples: list[tuple[str, int]], size: int, **options: Any) -> tuple[ImageFiles, Tensor]:
    """The files of one part and their labels int64 (n,); `options` are those of `ImageFiles`."""
    paths = np.array([os.fsencode(path) for path, _ in samples])
    return ImageFiles(name, paths, size, **options), torch.tensor([label for _, label in samples])


def _statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of values in [0, 1], exact, from counts of the 256 values."""
    counts = torch.zeros(CHANNELS, 256, dtype=torch.int64)
    # some images at a time: bincount widens every byte to eight
    for some in fetch(images, torch.arange(len(images)).split(500)):
        counts += torch.stack([torch.bincount(c.flatten(), minlength=256).cpu() for c in some.unbind(1)])
    values = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in counts:
        share = channel.double() / channel.sum()
        mean.append(float(share @ values))
        std.append(float(share @ (values - mean[-1]) ** 2) ** 0.5)
    return tuple(mean), tuple(std)
