"""MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 and SVHN: fetched and read by torchvision, every file checked."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from linconv.data.dataset import Arrays, DataError


def load_mnist(class_name: str, root: Path) -> Arrays:
    """MNIST or Fashion-MNIST from the four unpacked files in `root`/<class name>/raw, (n, 1, 28, 28).

    Raises:
        DataError: files are missing and cannot be downloaded, or are damaged.
    """
    names = [archive.removesuffix(".gz") for archive, _ in _torchvision(class_name).resources]
    train, test = _Source(
        class_name,
        root,
        folder=root / class_name / "raw",
        checks={name: _idx_check(dimensions=3 if "idx3" in name else 1) for name in names},
        parts=({"train": True}, {"train": False}),
    ).open()
    return Arrays(train.data.unsqueeze(1), train.targets, test.data.unsqueeze(1), test.targets)


def load_cifar(class_name: str, root: Path) -> Arrays:
    """CIFAR-10 or CIFAR-100 from the unpacked "python version" in `root`, (n, 3, 32, 32).

    Raises:
        DataError: files are missing and cannot be downloaded, or are damaged.
    """
    known = _torchvision(class_name)
    listed = [*known.train_list, *known.test_list, (known.meta["filename"], known.meta["md5"])]
    train, test = _Source(
        class_name,
        root,
        folder=root / known.base_folder,
        checks={name: _md5_check(md5) for name, md5 in listed},
        parts=({"train": True}, {"train": False}),
    ).open()
    tensors = []
    for part in (train, test):
        images = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()  # (n, h, w, c) -> (n, c, h, w)
        tensors += [images, torch.tensor(part.targets)]
    return Arrays(*tensors)


def load_svhn(root: Path) -> Arrays:
    """SVHN's cropped digits from train_32x32.mat and test_32x32.mat in `root`, (n, 3, 32, 32).

    Raises:
        DataError: files are missing and cannot be downloaded, or are damaged.
    """
    listed = [_torchvision("SVHN").split_list[split] for split in ("train", "test")]
    train, test = _Source(
        "SVHN",
        root,
        folder=root,
        checks={name: _md5_check(md5) for _, name, md5 in listed},
        parts=({"split": "train"}, {"split": "test"}),
    ).open()
    tensors = []
    for part in (train, test):
        tensors += [torch.from_numpy(part.data).contiguous(), torch.from_numpy(part.labels)]
    return Arrays(*tensors)


def _torchvision(class_name: str) -> Any:
    # torchvision takes seconds to import, and the embedded data sets do without it.
    import torchvision.datasets

    return getattr(torchvision.datasets, class_name)


@dataclass(frozen=True)
class _Source:
    """A torchvision data set: where its files lie, how each is checked, which arguments open its parts."""

    class_name: str
    root: Path
    folder: Path
    checks: dict[str, Callable[[Path], bool]]
    parts: tuple[dict[str, Any], ...]

    def open(self) -> list[Any]:
        """Torchvision's objects of all parts; what is missing is downloaded, what is damaged reported."""
        if self._missing():
            self._download()
        damaged = [name for name, intact in self.checks.items() if not intact(self.folder / name)]
        if damaged:
            raise DataError(
                f"{self.class_name}: damaged or incomplete in {self.folder}: {', '.join(damaged)}\n"
                f"  Delete what is named, then run: {self._command()}"
            )
        return [_torchvision(self.class_name)(self.root, **part) for part in self.parts]

    def _missing(self) -> list[str]:
        return [name for name in self.checks if not (self.folder / name).is_file()]

    def _download(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # Runs start together: one fetches, the others wait here and then find the files.
            with FileLock(self.root / f".{self.class_name}.lock"):
                if self._missing():
                    for part in self.parts:
                        _torchvision(self.class_name)(self.root, download=True, **part)
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{self.class_name}: missing in {self.folder}: {', '.join(self._missing())}\n"
                f"  The download failed: {reason}\n"
                f"  Run this where there is a network and copy the files there: {self._command()}"
            ) from None

    def _command(self) -> str:
        calls = [
            f"{self.class_name}('{self.root}', {name}={value!r}, download=True)"
            for part in self.parts
            for name, value in part.items()
        ]
        return f'python -c "from torchvision.datasets import {self.class_name}; {"; ".join(calls)}"'


def _md5_check(md5: str) -> Callable[[Path], bool]:
    def intact(file: Path) -> bool:
        from torchvision.datasets.utils import check_integrity

        return check_integrity(str(file), md5)

    return intact


def _idx_check(dimensions: int) -> Callable[[Path], bool]:
    """Whether an IDX file of bytes is as long as its header says; their checksums are unknown."""

    def intact(file: Path) -> bool:
        header_size = 4 + 4 * dimensions
        with file.open("rb") as stream:
            header = stream.read(header_size)
        if len(header) < header_size or header[:4] != bytes((0, 0, 8, dimensions)):
            return False
        shape = struct.unpack(f">{dimensions}I", header[4:])
        return file.stat().st_size == header_size + math.prod(shape)

    return intact
