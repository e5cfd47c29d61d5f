"""MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 and SVHN: fetched and read by torchvision, every file checked."""

from __future__ import annotations

import gzip
import hashlib
import logging
import math
import shutil
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from linconv.data.dataset import Arrays, Origin
from linconv.data.errors import DataError

# SHA-256 of MNIST's unpacked files; torchvision knows the MD5 of the archives alone.
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

DIGITS = tuple("0123456789")  # MNIST's and SVHN's classes are digits, Fashion-MNIST's are numbered by them

log = logging.getLogger("linconv")
Check = Callable[[Path], bool]


def load_mnist(class_name: str, root: Path) -> Arrays:
    """MNIST or Fashion-MNIST from the four unpacked files in `root`/<class name>/raw, (n, 1, 28, 28).

    MNIST's files are held to their checksums. No checksums of Fashion-MNIST's unpacked files are published: each is
    compared with its .gz archive where that lies beside it, as after a download, and held to its header where not.

    Raises:
        DataError: files are missing and cannot be downloaded, or are damaged.
    """
    from torchvision.datasets.mnist import read_image_file, read_label_file

    checks: dict[str, Check] = {}
    for archive, md5 in _torchvision(class_name).resources:
        name = archive.removesuffix(".gz")
        structure = _idx_check(dimensions=3 if "idx3" in name else 1)
        content = _mnist_check if class_name == "MNIST" else _archive_check(archive, md5)
        checks[name] = _both(structure, content)
    folder = Path(class_name, "raw")
    archives = {folder / archive: md5 for archive, md5 in _torchvision(class_name).resources}
    source = _Source(class_name, root, folder, checks, archives)
    source.ensure()
    if class_name != "MNIST" and not all((root / archive).exists() for archive in archives):
        log.info("%s: without all archives (*.gz) beside the files, only their structure was checked", class_name)
    # not torchvision's class, which prefers a file of its own in processed/ that nothing has checked
    tensors = [
        read(str(source.path / f"{part}-{kind}-ubyte"))
        for part in ("train", "t10k")
        for kind, read in (("images-idx3", read_image_file), ("labels-idx1", read_label_file))
    ]
    return Arrays(tensors[0].unsqueeze(1), tensors[1], tensors[2].unsqueeze(1), tensors[3], _origin(DIGITS))


def load_cifar(class_name: str, root: Path) -> Arrays:
    """CIFAR-10 or CIFAR-100 from the unpacked "python version" in `root`, (n, 3, 32, 32).

    Raises:
        DataError: files are missing and cannot be downloaded, or are damaged.
    """
    known = _torchvision(class_name)
    listed = [*known.train_list, *known.test_list, (known.meta["filename"], known.meta["md5"])]
    checks = {name: _md5_check(md5) for name, md5 in listed}
    source = _Source(class_name, root, Path(known.base_folder), checks, {Path(known.filename): known.tgz_md5})
    source.ensure()
    parts = []
    for part in source.parts:
        found = known(root, **part)
        images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()  # (n, h, w, c) -> (n, c, h, w)
        parts.append((images, torch.tensor(found.targets, device="cpu")))
    (images, labels), (test_images, test_labels) = parts
    return Arrays(images, labels, test_images, test_labels, _origin(found.classes))


def load_svhn(root: Path) -> Arrays:
    """SVHN's cropped digits from train_32x32.mat and test_32x32.mat in `root`, (n, 3, 32, 32).

    Raises:
        DataError: files are missing and cannot be downloaded, or are damaged.
    """
    known = _torchvision("SVHN")
    sums = {name: md5 for _, name, md5 in (known.split_list[split] for split in ("train", "test"))}
    checks = {name: _md5_check(md5) for name, md5 in sums.items()}
    splits = ({"split": "train"}, {"split": "test"})
    source = _Source("SVHN", root, Path(), checks, {Path(name): md5 for name, md5 in sums.items()}, splits)
    source.ensure()
    parts = []
    for split in splits:
        found = known(root, **split)
        parts.append((torch.from_numpy(found.data).contiguous(), torch.from_numpy(found.labels)))
    (images, labels), (test_images, test_labels) = parts
    return Arrays(images, labels, test_images, test_labels, _origin(DIGITS))


def _origin(classes: Iterable[str]) -> Origin:
    import torchvision

    return Origin("archives", tuple(classes), f"torchvision {torchvision.__version__}")


def _torchvision(class_name: str) -> Any:
    # torchvision takes seconds to import, and the embedded data sets do without it.
    import torchvision.datasets

    return getattr(torchvision.datasets, class_name)


@dataclass(frozen=True)
class _Source:
    """A torchvision data set: where its files lie, how each is checked, which arguments fetch its parts.

    `folder` and `archives` (files that torchvision need not fetch where they are there, by MD5) are relative to `root`.
    """

    class_name: str
    root: Path
    folder: Path
    checks: dict[str, Check]
    archives: dict[Path, str]
    parts: tuple[dict[str, Any], ...] = ({"train": True}, {"train": False})

    @property
    def path(self) -> Path:
        return self.root / self.folder

    def ensure(self) -> None:
        """Download what is missing and check every file.

        Raises:
            DataError: files are missing and cannot be downloaded, or are damaged.
        """
        if self._missing():
            self._download()
        self._refuse_damaged(self.path)

    def _missing(self) -> list[str]:
        return [name for name in self.checks if not (self.path / name).exists()]

    def _refuse_damaged(self, folder: Path) -> None:
        damaged = []
        for name, intact in self.checks.items():
            file = folder / name
            try:
                if not (file.is_file() and intact(file)):
                    damaged.append(name)
            except OSError as error:
                raise DataError(
                    f"{self.class_name}: {file} cannot be read ({error.strerror}); make it readable or replace it"
                ) from None
        if damaged:
            raise DataError(
                f"{self.class_name}: damaged or incomplete in {self.path}: {', '.join(damaged)}; "
                f"delete what is named, then run: {self._command()}"
            )

    def _download(self) -> None:
        """Fetch into a folder beside, so that a download that is cut off leaves no half-written file in place."""
        beside = self.root / f".{self.class_name}.download"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # Runs start together: one fetches, the others wait here and then find the files.
            with FileLock(self.root / f".{self.class_name}.lock"):
                if self._missing():
                    shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
                    try:
                        self._fetch(beside)
                    finally:
                        shutil.rmtree(beside, ignore_errors=True)
        except (OSError, RuntimeError, HTTPException) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{self.class_name}: missing in {self.path}: {', '.join(self._missing())}; the download failed: "
                f"{reason}; run this where there is a network and copy the files there: {self._command()}"
            ) from None

    def _fetch(self, beside: Path) -> None:
        for archive, md5 in self.archives.items():
            if (self.root / archive).is_file():
                _refuse_damaged_archive(self.root / archive, md5)  # torchvision would write over it
                (beside / archive).parent.mkdir(parents=True, exist_ok=True)
                (beside / archive).symlink_to((self.root / archive).resolve())
        for part in self.parts:
            _torchvision(self.class_name)(beside, download=True, **part)
        self._refuse_damaged(beside / self.folder)
        self.path.mkdir(parents=True, exist_ok=True)
        for file in dict.fromkeys((*self.archives, *(self.folder / name for name in self.checks))):
            if (beside / file).is_file() and not (self.root / file).exists():
                (beside / file).replace(self.root / file)

    def _command(self) -> str:
        calls = [
            f"{self.class_name}('{self.root}', {name}={value!r}, download=True)"
            for part in self.parts
            for name, value in part.items()
        ]
        return f'python -c "from torchvision.datasets import {self.class_name}; {"; ".join(calls)}"'


def _both(first: Check, second: Check) -> Check:
    return lambda file: first(file) and second(file)


def _md5_check(md5: str) -> Check:
    return lambda file: _digest(file, "md5") == md5


def _mnist_check(file: Path) -> bool:
    return _digest(file, "sha256") == MNIST_SHA256[file.name]


def _digest(file: Path, algorithm: str) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def _refuse_damaged_archive(archive: Path, md5: str) -> None:
    if _digest(archive, "md5") != md5:
        raise DataError(f"damaged or incomplete: {archive} (its MD5 is not the published one); delete it")


def _archive_check(archive_name: str, md5: str) -> Check:
    """Whether a file is what its archive holds; without one beside it there is nothing to tell. The check raises a
    DataError where the archive is not of that MD5."""

    def intact(file: Path) -> bool:
        archive = file.with_name(archive_name)
        if not archive.exists():
            return True
        _refuse_damaged_archive(archive, md5)
        return gzip.decompress(archive.read_bytes()) == file.read_bytes()

    return intact


def _idx_check(dimensions: int) -> Check:
    """Whether an IDX file of bytes is as long as its header says."""

    def intact(file: Path) -> bool:
        header_size = 4 + 4 * dimensions
        with file.open("rb") as stream:
            header = stream.read(header_size)
        if len(header) < header_size or header[:4] != bytes((0, 0, 8, dimensions)):
            return False
        shape = struct.unpack(f">{dimensions}I", header[4:])
        return file.stat().st_size == header_size + math.prod(shape)

    return intact
