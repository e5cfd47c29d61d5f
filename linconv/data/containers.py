"""A published data set in whatever container it lies: original archives, image columns or PNG class folders.

All give the same images with the same labels, checked by digest where it is known. Columns and class folders also
give them in the same order: by class, then by file name.
"""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
import torch

from linconv.catalogue.datasets import DATASETS, DatasetEntry
from linconv.data.cache import decode_once, files_key
from linconv.data.dataset import Arrays, Origin
from linconv.data.errors import DataError
from linconv.data.parts import refuse_same_names, subfolders
from linconv.data.pixels import read_pixels
from linconv.data.walk import ENDINGS, entries, is_folder, shown
from linconv.results.data import Container

PARTS = ("train", "test")
ORDER: tuple[Container, ...] = ("archives", "image columns", "png class folders")
COLUMN = re.compile(r"(?P<label>\d+)-(?P<name>.+)\.(?P<number>\d+)\.(?:webp|png)", re.IGNORECASE)

log = logging.getLogger("linconv")


class Listed(NamedTuple):
    """The files of one part: class names in order, and every file with its label."""

    classes: tuple[str, ...]
    files: list[tuple[str, int]]


def load_published(data: DatasetEntry, root: Path) -> Arrays:
    """Load a data set with archives from the first container of `ORDER` that is there; without any, fetch the archives.

    Raises:
        DataError: files are missing and cannot be downloaded, are damaged, or do not hold what they should.
    """
    name, folder = data.name, root / data.name
    there = [container for container in ORDER if _is_there(container, name, root)]
    if len(there) > 1:
        log.info("data set '%s': found %s; using the %s", name, " and ".join(there), there[0])
    if not there or there[0] == "archives":
        arrays: Arrays = data.load_images(root)
        return arrays
    container = there[0]
    try:
        listed = {part: _list(container, folder / part) for part in PARTS}
        _check_classes(data, folder, listed)
        return _read(data, container, root, listed)
    except DataError as error:
        raise DataError(f"data set '{name}' ({container}): {error}") from None
    except OSError as error:
        raise DataError(
            f"data set '{name}': {error.filename or folder} cannot be read ({error.strerror}); make it readable"
        ) from None


def is_present(name: str, root: Path) -> bool:
    """Whether files of a data set with archives lie below `root`, in any container."""
    return any(_is_there(container, name, root) for container in ORDER)


def _is_there(container: Container, name: str, root: Path) -> bool:
    if container == "archives":
        return any((root / file).exists() for file in DATASETS[name].archives)
    columns = container == "image columns"
    return any(
        bool(COLUMN.fullmatch(entry.name)) if columns else is_folder(entry)
        for part in PARTS
        if (root / name / part).is_dir()
        for entry in entries(root / name / part)
    )


def _list_columns(folder: Path) -> Listed:
    """`folder`/<label>-<class>.<number>.webp (or .png), numbers from 0."""
    found: dict[tuple[int, str], dict[int, str]] = defaultdict(dict)
    for entry in entries(folder):
        match = COLUMN.fullmatch(entry.name)
        if not match or is_folder(entry):
            raise DataError(f"{shown(entry.path)} is no file <label>-<class>.<number>.webp; remove or rename it")
        own = found[int(match["label"]), match["name"]]
        if int(match["number"]) in own:
            raise DataError(f"{shown(entry.path)} and {own[int(match['number'])]} are the same column; remove one")
        own[int(match["number"])] = entry.path
    keys = sorted(found)
    classes = tuple(name for _, name in keys)
    if [label for label, _ in keys] != list(range(len(keys))) or list(classes) != sorted(classes):
        raise DataError(
            f"{folder}: labels must run from 0 in the alphabetical order of the classes, without a gap; found "
            + ", ".join(f"{label}-{name}" for label, name in keys[:12])
        )
    for label, name in keys:
        own = found[label, name]
        missing = sorted(set(range(max(own) + 1)) - set(own))
        if missing:
            raise DataError(f"{folder}: column {missing[0]} of class '{name}' is missing; add it")
    return Listed(classes, [(found[key][number], key[0]) for key in keys for number in sorted(found[key])])


def _list_folders(folder: Path) -> Listed:
    """`folder`/<class>/*.png."""
    classes = subfolders(os.fspath(folder))
    refuse_same_names(os.fspath(folder), classes)
    files: list[tuple[str, int]] = []
    for label, name in enumerate(classes):
        before = len(files)
        for entry in entries(folder / name):
            if is_folder(entry) or (entry.name.lower().endswith(ENDINGS) and not entry.name.lower().endswith(".png")):
                raise DataError(f"{shown(entry.path)} is not a PNG file; class folders hold nothing else: remove it")
            if entry.name.lower().endswith(".png"):
                files.append((entry.path, label))
        if len(files) == before:
            raise DataError(f"{shown(folder / name)} holds no PNG file; add its images")
    return Listed(tuple(classes), files)


LISTERS: dict[str, Callable[[Path], Listed]] = {
    "image columns": _list_columns,
    "png class folders": _list_folders,
}


def _list(container: Container, folder: Path) -> Listed:
    if not folder.is_dir():
        raise DataError(
            f"no folder {shown(folder)}; add it, or remove {shown(folder.parent)} to have the original files fetched"
        )
    return LISTERS[container](folder)


def _check_classes(data: DatasetEntry, folder: Path, listed: dict[str, Listed]) -> None:
    for part, found in listed.items():
        if len(found.classes) != data.classes:
            raise DataError(
                f"{folder / part} holds {len(found.classes)} classes, not {data.classes}; complete it, or remove "
                f"{folder} to have the original files fetched"
            )
    train, test = (listed[part].classes for part in PARTS)
    if train != test:
        differing = sorted(set(train) ^ set(test))
        raise DataError(f"{folder}: train and test must have the same classes; only one has {', '.join(differing[:5])}")
    if data.numbered and [c.lstrip("0") or "0" for c in train] != [str(i) for i in range(data.classes)]:
        raise DataError(f"{folder}: name its classes by their labels, 0 to {data.classes - 1}, not '{train[0]}'")


def _read(data: DatasetEntry, container: Container, root: Path, listed: dict[str, Listed]) -> Arrays:
    name, side = data.name, data.image_size - 2 * data.border
    stacked = container == "image columns"

    def decode() -> dict[str, tuple[np.ndarray, np.ndarray]]:
        log.info("decoding the %s of '%s', which later runs need not do", container, name)
        return {part: _decode(listed[part], side, data.channels, stacked) for part in PARTS}

    files = [file for part in PARTS for file, _ in listed[part].files]
    key = files_key(files, name, container, side, data.channels, PIL.__version__)
    label = f"{name}-{container.replace(' ', '-')}"
    decoded = decode_once(root, label, key, decode)
    train, test = (decoded[part] for part in PARTS)
    return Arrays(
        torch.from_numpy(train.images),
        torch.from_numpy(train.labels),
        torch.from_numpy(test.images),
        torch.from_numpy(test.labels),
        Origin(container, listed["train"].classes, f"Pillow {PIL.__version__}", (train.hashes, test.hashes)),
    )


def _decode(listed: Listed, side: int, channels: int, stacked: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, c, side, side) and labels int64 (n,) of one part."""

    def read(file: str) -> np.ndarray:
        pixels = read_pixels(file, channels)  # (h, w, c)
        height, width = pixels.shape[:2]
        if width != side or height % side or (height != side and not stacked):
            wanted = f"columns of images of {side} x {side}" if stacked else f"{side} x {side}"
            raise DataError(f"{shown(file)} has {width} x {height} pixels, not {wanted}; replace it")
        return pixels.reshape(-1, side, side, channels).transpose(0, 3, 1, 2)

    # Decoding releases the interpreter.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        images = list(pool.map(read, (file for file, _ in listed.files)))
    labels = np.repeat([label for _, label in listed.files], [len(some) for some in images])
    return np.ascontiguousarray(np.concatenate(images)), labels.astype(np.int64)
