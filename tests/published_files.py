"""Small files in the true formats of the published data sets, with their own checksums stated as the published ones."""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io
import torchvision.datasets as tv
from PIL import Image

from linconv.data import content, published

TRAIN, TEST = 20, 10
RANDOM = np.random.RandomState(0)
CLASS_NAMES = {
    "mnist": "MNIST",
    "fashionmnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "svhn": "SVHN",
}

Part = tuple[np.ndarray, np.ndarray]  # images uint8 (n, c, h, w), labels (n,)
Writer = Callable[[str, Path, Part, Part, pytest.MonkeyPatch], None]


def make_part(n: int, info: Any) -> Part:
    size = 32 - 2 * info.border
    images = RANDOM.randint(0, 256, (n, info.channels, size, size), dtype=np.uint8)
    labels = np.arange(n) % info.classes
    labels[-1] = info.classes - 1
    return images, labels


def state_digests(name: str, train: Part, test: Part, patch: pytest.MonkeyPatch) -> None:
    """State the digests of small parts as those of the published data set, where these are known."""
    if content.KNOWN[name]:
        digests = (content.content_digest(content.image_hashes(*part)) for part in (train, test))
        patch.setitem(content.KNOWN, name, content.PartDigests(*digests))


def stating_digests(writer: Writer) -> Writer:
    def write(name: str, root: Path, train: Part, test: Part, patch: pytest.MonkeyPatch) -> None:
        writer(name, root, train, test, patch)
        state_digests(name, train, test, patch)

    return write


def write_idx(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    file.write_bytes(header + values.astype(np.uint8).tobytes())


@stating_digests
def write_mnist(name: str, root: Path, train: Part, test: Part, patch: pytest.MonkeyPatch) -> None:
    raw = root / CLASS_NAMES[name] / "raw"
    for prefix, (images, labels) in (("train", train), ("t10k", test)):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", images[:, 0])
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", labels)
    if name == "mnist":  # the files are held to the published checksums: state those of the small ones
        sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in raw.iterdir()}
        patch.setattr(published, "MNIST_SHA256", sums)


@stating_digests
def write_cifar(name: str, root: Path, train: Part, test: Part, patch: pytest.MonkeyPatch) -> None:
    cls = getattr(tv, CLASS_NAMES[name])
    folder = root / cls.base_folder
    folder.mkdir(parents=True)
    key = "labels" if name == "cifar10" else "fine_labels"

    def dump(file: str, value: dict[str, Any]) -> list[str]:
        (folder / file).write_bytes(pickle.dumps(value))
        return [file, hashlib.md5((folder / file).read_bytes()).hexdigest()]

    def dump_part(file: str, images: np.ndarray, labels: np.ndarray) -> list[str]:
        return dump(file, {"data": images.reshape(len(images), -1), key: labels.tolist()})

    chunks = np.array_split(np.arange(len(train[1])), len(cls.train_list))
    train_list = [
        dump_part(file, train[0][chunk], train[1][chunk])
        for (file, _), chunk in zip(cls.train_list, chunks, strict=True)
    ]
    # torchvision refuses files whose checksum is not the published one: state those of the small files.
    patch.setattr(cls, "train_list", train_list)
    patch.setattr(cls, "test_list", [dump_part(cls.test_list[0][0], *test)])
    names = [class_name(name, label) for label in range(10 if name == "cifar10" else 100)]
    md5 = dump(cls.meta["filename"], {cls.meta["key"]: names})[1]
    patch.setattr(cls, "meta", cls.meta | {"md5": md5})


@stating_digests
def write_svhn(name: str, root: Path, train: Part, test: Part, patch: pytest.MonkeyPatch) -> None:
    splits = dict(tv.SVHN.split_list)
    for split, (images, labels) in (("train", train), ("test", test)):
        url, file, _ = splits[split]
        ones_to_ten = np.where(labels == 0, 10, labels).reshape(-1, 1).astype(np.uint8)  # SVHN writes 0 as 10
        scipy.io.savemat(root / file, {"X": images.transpose(2, 3, 1, 0), "y": ones_to_ten})
        splits[split] = [url, file, hashlib.md5((root / file).read_bytes()).hexdigest()]
    patch.setattr(tv.SVHN, "split_list", splits)


@stating_digests
def write_columns(name: str, root: Path, train: Part, test: Part, patch: pytest.MonkeyPatch) -> None:
    """Columns of at most two images."""
    for part, (images, labels) in (("train", train), ("test", test)):
        folder = root / name / part
        folder.mkdir(parents=True)
        for label in np.unique(labels):
            own = images[labels == label].transpose(0, 2, 3, 1)
            for number, start in enumerate(range(0, len(own), 2)):
                column = np.concatenate(own[start : start + 2])
                file = folder / f"{label:02d}-{class_name(name, label)}.{number:02d}.webp"
                as_image(column).convert("RGB").save(file, lossless=True)


@stating_digests
def write_class_folders(name: str, root: Path, train: Part, test: Part, patch: pytest.MonkeyPatch) -> None:
    for part, (images, labels) in (("train", train), ("test", test)):
        for label in np.unique(labels):
            folder = root / name / part / class_name(name, label)
            folder.mkdir(parents=True)
            for i, image in enumerate(images[labels == label].transpose(0, 2, 3, 1)):
                as_image(image).save(folder / f"{i:04d}.png")


def as_image(pixels: np.ndarray) -> Image.Image:
    """uint8 (h, w, 1 or 3), as a gray or a colored image."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def class_name(name: str, label: int) -> str:
    """As the archives written here name it; in alphabetical order."""
    return f"class {label:03d}" if name in ("cifar10", "cifar100") else str(label)


WRITERS = {
    "mnist": write_mnist,
    "fashionmnist": write_mnist,
    "cifar10": write_cifar,
    "cifar100": write_cifar,
    "svhn": write_svhn,
}
# One file of each, to be removed or damaged.
A_FILE = {
    "mnist": "MNIST/raw/t10k-images-idx3-ubyte",
    "fashionmnist": "FashionMNIST/raw/train-labels-idx1-ubyte",
    "cifar10": "cifar-10-batches-py/data_batch_3",
    "cifar100": "cifar-100-python/test",
    "svhn": "test_32x32.mat",
}


def refuse_downloads(patch: pytest.MonkeyPatch) -> None:
    """As on a machine without network."""

    def refuse(self: Any) -> None:
        raise URLError("no network in this test")

    for class_name in CLASS_NAMES.values():
        patch.setattr(getattr(tv, class_name), "download", refuse)
