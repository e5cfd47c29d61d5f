"""Folders of image files, made of random pixels."""

from __future__ import annotations

import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linconv.config import ImageFolderOptions
from linconv.data import DataError, Dataset, load

CLASSES = ("ant", "bee", "cat")

Change = Callable[[Path], object]  # of the folder of a data set


def pixels(seed: int, size: int = 32, mode: str = "RGB") -> np.ndarray:
    shape = (size, size) if mode == "L" else (size, size, len(mode))
    return np.random.RandomState(seed).randint(0, 256, shape, dtype=np.uint8)


def write_image(file: Path, values: np.ndarray | int) -> None:
    """These values, or random ones of this seed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(values) if isinstance(values, int) else values).save(file)


def write_classes(folder: Path, each: int, first_seed: int = 0, names: tuple[str, ...] = CLASSES) -> None:
    """`each` PNG files of every class; the seeds of their pixels count up in the order of the files."""
    for k, name in enumerate(names):
        for i in range(each):
            write_image(folder / name / f"{i}.png", first_seed + each * k + i)


def load_pets(root: Path, **options: object) -> Dataset:
    return load("pets", root, imagefolder=ImageFolderOptions.model_validate({"path": "pets", **options}))


def write_parts(pets: Path) -> None:
    """Two classes of three training images and one test image each."""
    write_classes(pets / "train", 3, names=("ant", "bee"))
    write_classes(pets / "test", 1, first_seed=100, names=("ant", "bee"))


def assert_refused(root: Path, message: str, **options: object) -> None:
    with pytest.raises(DataError) as caught:
        load_pets(root, **options)
    line = str(caught.value)
    assert re.search(message, line), line
    assert line.startswith("data set 'pets': ")
    assert line.isprintable()


def rename(*pairs: tuple[str, str]) -> Change:
    def change(pets: Path) -> None:
        for old, new in pairs:
            (pets / new).parent.mkdir(parents=True, exist_ok=True)
            (pets / old).rename(pets / new)

    return change


def remove(*names: str) -> Change:
    return lambda pets: [shutil.rmtree(pets / name) for name in names]


def link(name: str, target: str) -> Change:
    return lambda pets: (pets / name).symlink_to(target)


def write(name: str, content: bytes) -> Change:
    def change(pets: Path) -> None:
        (pets / name).parent.mkdir(parents=True, exist_ok=True)
        (pets / name).write_bytes(content)

    return change


def cut(name: str, keep: int) -> Change:
    return lambda pets: (pets / name).write_bytes((pets / name).read_bytes()[:keep])


def deep_png(name: str, color_type: int, channels: int) -> Change:
    """A PNG file of 16 bits per channel, which Pillow itself would cut to 8 without a word."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 16, color_type, 0, 0, 0))
    rows = zlib.compress((b"\0" + b"\x12\x34" * channels * 32) * 32)
    return write(name, b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
