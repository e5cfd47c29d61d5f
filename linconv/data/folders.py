"""One's own data sets: folders of class folders of image files."""

from __future__ import annotations

import itertools
import logging
import os
from dataclasses import replace
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
import torch
from torch import Tensor

from linconv.catalogue.datasets import DatasetInfo
from linconv.config.folders import ImageFolderOptions
from linconv.data.cache import decode_once, files_key
from linconv.data.dataset import Arrays, Origin
from linconv.data.errors import DataError
from linconv.data.parts import USUAL, find_parts, holds_parts, refuse_same_names, subfolders
from linconv.data.sources import CHANNELS, ImageFiles, Images, fetch
from linconv.data.walk import ENDINGS, Walk, shown

log = logging.getLogger("linconv")

Samples = list[tuple[str, int]]  # (file, label)


class Found(NamedTuple):
    """Class names in order, and (file, label) of every image, by class and then by file name."""

    classes: list[str]
    samples: Samples


def load_imagefolder(name: str, options: ImageFolderOptions, root: Path) -> Arrays:
    """Find the files of a folder of images; classes are numbered in the order of their names.

    Args:
        name: of the data set, for messages.
        options: its definition.
        root: the folder that `options.path` is relative to.

    Raises:
        DataError: the folder or a part is missing, it is not clear what the parts and classes are, a class has no
            image, the parts differ in their classes, or something lies there that is no file or folder.
    """
    walk = Walk()
    try:
        classes, train, test = _find_parts(root / options.path, options, walk)
    except DataError as error:
        raise DataError(f"data set '{name}': {error}") from None
    if walk.unread:
        endings = ", ".join(f"{count} {shown(ending)}" for ending, count in walk.unread.most_common(5))
        log.info("data set '%s': %d files are not read, by their endings (%s)", name, walk.unread.total(), endings)
    origin = Origin("image folder", tuple(shown(c) for c in classes), decoder())
    files = (*list_files(name, train, options.image_size), *list_files(name, test, options.image_size))
    return Arrays(*files, origin)


def read_once(name: str, arrays: Arrays, root: Path) -> Arrays:
    """The images of files in memory, decoded by this run or an earlier one; images in memory as they are.

    Args:
        name: of the data set.
        arrays: what its loader gave.
        root: the folder of the data sets, which the cache is put into.

    Raises:
        DataError: a file cannot be decoded.
    """
    train, test = arrays.train_images, arrays.test_images
    if isinstance(train, Tensor) or isinstance(test, Tensor):
        return arrays

    def decode() -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {
            "train": (train.read().numpy(), arrays.train_labels.numpy()),
            "test": (test.read().numpy(), arrays.test_labels.numpy()),
        }

    paths = (os.fsdecode(path) for files in (train, test) for path in files.paths)
    labels = torch.cat([arrays.train_labels, arrays.test_labels]).tolist()
    key = files_key(paths, train.size, train.fit, train.upright, len(train), labels, decoder())
    decoded = decode_once(root, f"{name}-{train.size}", key, decode)
    hashes = decoded["train"].hashes, decoded["test"].hashes
    return arrays._replace(
        train_images=torch.from_numpy(decoded["train"].images),
        test_images=torch.from_numpy(decoded["test"].images),
        origin=replace(arrays.origin, hashes=hashes),
    )


def describe_imagefolder(name: str, options: ImageFolderOptions, images: Images, classes: int) -> DatasetInfo:
    """The facts of a folder; mean and standard deviation are measured on the training images where not given.

    Raises:
        DataError: a channel of the training part is constant, so it cannot be normalized; or a streamed image
            cannot be decoded.
    """
    mean, std = (options.mean, options.std) if options.mean and options.std else _statistics(images)
    if min(std) == 0:
        raise DataError(
            f"data set '{name}': a color channel has one value in all training images (transparency is not read); "
            f"give mean and std, or replace the files in {options.path}"
        )
    return DatasetInfo(
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
    return f"Pillow {PIL.__version__}, simplejpeg {version('simplejpeg')}, torch {torch.__version__}"


def _find_parts(folder: Path, options: ImageFolderOptions, walk: Walk) -> tuple[list[str], Samples, Samples]:
    """The class names, and the (file, label) pairs of the training and the test part."""
    if not folder.is_dir():
        raise DataError(f"no folder {shown(folder)}; put the images there, or change data_root or the data set's path")
    parts = find_parts(os.fspath(folder))
    if parts is None:
        found = find_classes(folder, walk, split=True)
        return found.classes, *_split(folder, found, options)
    train, test = (find_classes(folder / part, walk) for part in parts)
    same_classes(folder, dict(zip(parts, (train, test), strict=True)))
    return train.classes, train.samples, test.samples


def same_classes(folder: Path, parts: dict[str, Found]) -> None:
    """Raise a DataError where the two parts of `folder` differ in their classes."""
    (first, one), (second, other) = parts.items()
    if one.classes != other.classes:
        differing = sorted(set(one.classes) ^ set(other.classes))
        lines = [f"'{shown(c)}' only in {shown(first if c in one.classes else second)}/" for c in differing[:5]]
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise DataError(
            f"{shown(folder)}: {shown(first)}/ and {shown(second)}/ must have the same classes; {', '.join(lines)}"
            f"{more}: add what is missing, or delete what is too much"
        )


def find_classes(folder: Path, walk: Walk, *, split: bool = False) -> Found:
    """The class folders in `folder` and the image files in them.

    Args:
        walk: what has been visited of the data set; one for all its parts.
        split: the folder is not a part, so folders in it that hold folders alone may be parts with other names.

    Raises:
        DataError: there are fewer than two classes, one holds no image or cannot be read, or they seem to be parts.
    """
    classes = subfolders(os.fspath(folder))
    refuse_same_names(os.fspath(folder), classes)
    if len(classes) < 2:
        remedy = f"; if they lie in {shown(folder / classes[0])}, give that as the path" if classes else ""
        found = f"only '{shown(classes[0])}'" if classes else "none"
        raise DataError(f"{shown(folder)}: at least two class folders are needed, found {found}{remedy}")
    samples: Samples = []
    nested = 0
    for label, name in enumerate(classes):
        own = os.path.join(folder, name)
        files = walk.images(own, f"{folder.name}/{name}" if not split else name)
        if parts := holds_parts(own):
            one, other = map(shown, parts)
            raise DataError(
                f"{shown(own)} holds {one}/ and {other}/; a data set's parts are {one}/<class>/ and {other}/<class>/, "
                "not <class>/ with parts in it: move them"
            )
        if not files:
            raise DataError(
                f"{shown(folder)}: class '{shown(name)}' has no image; add some (files ending in "
                f"{', '.join(e[1:] for e in ENDINGS)}), or delete the folder"
            )
        nested += all(os.path.dirname(file) != own for file in files)
        samples += [(file, label) for file in files]
    if split and nested == len(classes):
        raise DataError(
            f"{shown(folder)}: its folders ({', '.join(map(shown, classes[:5]))}) hold folders and no images; call "
            f"parts {USUAL}, or move the images up into their class folders"
        )
    return Found(classes, samples)


def _split(folder: Path, files: Found, options: ImageFolderOptions) -> tuple[Samples, Samples]:
    """The same share of every class to the test part, at least one image to each part."""
    train, test = [], []
    for label, group in itertools.groupby(files.samples, key=itemgetter(1)):
        samples, class_name = list(group), files.classes[label]
        if len(samples) < 2:
            raise DataError(
                f"{shown(folder)}: class '{shown(class_name)}' has one image; training and test part need one each: "
                "add images, or delete the folder"
            )
        held_out = min(max(1, round(options.test_share * len(samples))), len(samples) - 1)
        # RandomState's stream is frozen by numpy; a stream per class keeps the split of the others when one grows.
        order = np.random.RandomState([options.split_seed, label]).permutation(len(samples))
        test += [samples[i] for i in sorted(order[:held_out])]
        train += [samples[i] for i in sorted(order[held_out:])]
    return train, test


def list_files(name: str, samples: list[tuple[str, int]], size: int, **options: Any) -> tuple[ImageFiles, Tensor]:
    """The files of one part and their labels int64 (n,); `options` are those of `ImageFiles`."""
    paths = np.array([os.fsencode(path) for path, _ in samples])
    return ImageFiles(name, paths, size, **options), torch.tensor([label for _, label in samples], device="cpu")


def _statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of values in [0, 1], exact, from counts of the 256 values."""
    counts = torch.zeros(CHANNELS, 256, dtype=torch.int64, device="cpu")
    # some images at a time: bincount widens every byte to eight
    for some in fetch(images, torch.arange(len(images), device="cpu").split(500)):
        counts += torch.stack([torch.bincount(c.flatten(), minlength=256).cpu() for c in some.unbind(1)])
    values = torch.arange(256, dtype=torch.float64, device="cpu") / 255
    mean, std = [], []
    for channel in counts:
        share = channel.double() / channel.sum()
        mean.append(float(share @ values))
        std.append(float(share @ (values - mean[-1]) ** 2) ** 0.5)
    return tuple(mean), tuple(std)
