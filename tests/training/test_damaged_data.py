"""What a damaged data set does to `linconv train`: exit code 2 and one line that names file and remedy."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torchvision.datasets as tv
from PIL import Image

from linconv.data import DATASETS, published
from tests.damage import (
    Damage,
    Trainer,
    assert_refused,
    cut,
    fill,
    flip,
    folder_in_place_of,
    remove,
    unreadable,
    write_pets,
)
from tests.published_files import WRITERS, make_part, refuse_downloads, write_idx


def idx(name: str, values: np.ndarray) -> Damage:
    """Another, well-formed file whose checksum is the one expected."""

    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        file = root / "MNIST" / "raw" / name
        write_idx(file, values)
        patch.setitem(published.MNIST_SHA256, name, hashlib.sha256(file.read_bytes()).hexdigest())

    return damage


def archives(damage: Damage | None = None) -> Damage:
    """The .gz archives of Fashion-MNIST beside its files, their MD5 stated; then damaged."""

    def pack(root: Path, patch: pytest.MonkeyPatch) -> None:
        resources = []
        for name, _ in tv.FashionMNIST.resources:
            file = root / "FashionMNIST" / "raw" / name
            file.write_bytes(gzip.compress(file.with_suffix("").read_bytes(), mtime=0))
            resources.append((name, hashlib.md5(file.read_bytes()).hexdigest()))
        patch.setattr(tv.FashionMNIST, "resources", resources)
        if damage is not None:
            damage(root, patch)

    return pack


def only_a_damaged_archive(root: Path, patch: pytest.MonkeyPatch) -> None:
    """As left by a download that was cut off elsewhere; torchvision itself notices, and finds no network."""
    patch.undo()  # of the refused download: the real one is to run into the missing network

    def refuse(*_: Any, **__: Any) -> None:
        raise URLError("no network in this test")

    patch.setattr(urllib.request, "urlopen", refuse)
    with tarfile.open(root / tv.CIFAR100.filename, "w:gz") as packed:
        packed.add(root / tv.CIFAR100.base_folder, tv.CIFAR100.base_folder)
    shutil.rmtree(root / tv.CIFAR100.base_folder)


def one_class(root: Path, patch: pytest.MonkeyPatch) -> None:
    for part in ("train", "test"):
        shutil.rmtree(root / "pets" / part / "bee")


def no_parts_and_one_image(root: Path, patch: pytest.MonkeyPatch) -> None:
    pets = root / "pets"
    for name in ("ant", "bee"):
        (pets / name).mkdir()
        (pets / "test" / name / "0.png").rename(pets / name / "0.png")
    for part in ("train", "test"):
        shutil.rmtree(pets / part)


def one_color(root: Path, patch: pytest.MonkeyPatch) -> None:
    for file in (root / "pets" / "train").rglob("*.png"):
        Image.new("RGB", (32, 32), (7, 7, 7)).save(file)


def truncated_jpeg(root: Path, patch: pytest.MonkeyPatch) -> None:
    source, file = root / "pets" / "train" / "ant" / "0.png", root / "pets" / "train" / "ant" / "x.jpg"
    Image.open(source).save(file)
    file.write_bytes(file.read_bytes()[:-300])


def three_classes_of_imagenet(root: Path, patch: pytest.MonkeyPatch) -> None:
    for part in ("train", "val"):
        shutil.copytree(root / "pets" / "train", root / "imagenet" / part)


RAW = "MNIST/raw"
IMAGES, LABELS = f"{RAW}/t10k-images-idx3-ubyte", f"{RAW}/train-labels-idx1-ubyte"
MISSING = r"MNIST: missing in .*MNIST/raw: {}; the download failed: .*no network.*; run this where there is a network"
BROKEN = r"{}: damaged or incomplete in .*: {}; delete what is named, then run: python -c \"from torchvision"
UNDECODABLE = r"data set 'pets': .*/{} cannot be decoded \(.+\); replace or delete it"

# What happens to the files of which data set, and what the line says.
DATA: dict[str, tuple[str, Damage, str]] = {
    "IDX: all files missing": ("mnist", remove("MNIST"), MISSING.format("train-images-idx3-ubyte, .*")),
    "IDX: one file missing": ("mnist", remove(IMAGES), MISSING.format("t10k-images-idx3-ubyte")),
    "IDX: header truncated": ("mnist", cut(IMAGES, 6), BROKEN.format("MNIST", "t10k-images-idx3-ubyte")),
    "IDX: body truncated": ("mnist", cut(IMAGES, -1), BROKEN.format("MNIST", "t10k-images-idx3-ubyte")),
    "IDX: wrong magic number": ("mnist", flip(LABELS, 2), BROKEN.format("MNIST", "train-labels-idx1-ubyte")),
    "IDX: one bit altered": ("mnist", flip(IMAGES, 999), BROKEN.format("MNIST", "t10k-images-idx3-ubyte")),
    "IDX: empty file": ("mnist", fill(IMAGES, b""), BROKEN.format("MNIST", "t10k-images-idx3-ubyte")),
    "IDX: a folder instead": ("mnist", folder_in_place_of(IMAGES), BROKEN.format("MNIST", "t10k-images-idx3-ubyte")),
    "IDX: label out of range": (
        "mnist",
        idx("train-labels-idx1-ubyte", np.arange(20) % 11),
        r"data set 'mnist', training part: labels 0 to 10, not 0 to 9; delete its files",
    ),
    "IDX: images of another shape": (
        "mnist",
        idx("t10k-images-idx3-ubyte", np.zeros((10, 27, 27))),
        r"data set 'mnist', test part: images of shape \(10, 1, 27, 27\), not \(10, 1, 28, 28\); delete its files",
    ),
    "IDX: fewer labels than images": (
        "mnist",
        idx("train-labels-idx1-ubyte", np.arange(10)),
        r"training part: images of shape \(20, 1, 28, 28\), not \(10, 1, 28, 28\); delete its files",
    ),
    "gz: archive altered": (
        "fashionmnist",
        archives(flip("FashionMNIST/raw/train-labels-idx1-ubyte.gz", -1)),
        r"damaged or incomplete: .*train-labels-idx1-ubyte\.gz \(its MD5 is not the published one\); delete it",
    ),
    "gz: file differs from its archive": (
        "fashionmnist",
        archives(flip("FashionMNIST/raw/t10k-images-idx3-ubyte", 999)),
        BROKEN.format("FashionMNIST", "t10k-images-idx3-ubyte"),
    ),
    "pickle: one bit altered": (
        "cifar10",
        flip("cifar-10-batches-py/data_batch_3", 200),
        BROKEN.format("CIFAR10", "data_batch_3"),
    ),
    "pickle: none": (
        "cifar10",
        fill("cifar-10-batches-py/test_batch", b"<html>not found</html>"),
        BROKEN.format("CIFAR10", "test_batch"),
    ),
    "pickle: truncated": ("cifar100", cut("cifar-100-python/train", 100), BROKEN.format("CIFAR100", "train")),
    "tar.gz: damaged, without network": (
        "cifar100",
        only_a_damaged_archive,
        r"damaged or incomplete: .*cifar-100-python\.tar\.gz \(its MD5 is not the published one\); delete it",
    ),
    "mat: truncated": ("svhn", cut("test_32x32.mat", -9), BROKEN.format("SVHN", "test_32x32.mat")),
    "mat: one bit altered": ("svhn", flip("train_32x32.mat", 500), BROKEN.format("SVHN", "train_32x32.mat")),
    "images: folder missing": ("pets", remove("pets"), r"no folder .*pets; put the images there, or change data_root"),
    "images: test part missing": ("pets", remove("pets/test"), r"has train/<class>/ but no test/<class>/; add it"),
    "images: class missing in a part": (
        "pets",
        remove("pets/test/bee"),
        r"at least two class folders are needed, found only 'ant'",
    ),
    "images: class more in a part": (
        "pets",
        fill("pets/test/cat/0.png", b"x"),
        r"train/ and test/ must have the same classes; 'cat' only in test/",
    ),
    "images: empty class": (
        "pets",
        lambda root, patch: [file.unlink() for file in (root / "pets/train/bee").iterdir()],
        r"train: class 'bee' has no image; add some \(files ending in jpg, ",
    ),
    "images: one class only": ("pets", one_class, r"at least two class folders are needed, found only 'ant'"),
    "images: nothing to split": ("pets", no_parts_and_one_image, r"class 'ant' has one image; training and test part"),
    "images: not an image": ("pets", fill("pets/test/bee/1.png", b"<html></html>"), UNDECODABLE.format("bee/1.png")),
    "images: zero bytes": ("pets", fill("pets/train/bee/1.png", b""), UNDECODABLE.format("train/bee/1.png")),
    "images: PNG truncated": ("pets", cut("pets/train/ant/2.png", -1500), UNDECODABLE.format("train/ant/2.png")),
    "images: JPEG truncated": ("pets", truncated_jpeg, UNDECODABLE.format("train/ant/x.jpg")),
    "images: one color": ("pets", one_color, r"one value in all training images \(.*\); give mean and std"),
    "imagenet: missing": ("imagenet", remove("pets"), r"no folder .*imagenet/train; ImageNet must be fetched by hand"),
    "imagenet: too few classes": (
        "imagenet",
        three_classes_of_imagenet,
        r"data set 'imagenet': .*imagenet/train holds 2 class folders, not 1000; complete it",
    ),
    "mat: both missing": (
        "svhn",
        lambda root, patch: [file.unlink() for file in root.glob("*.mat")],
        r"SVHN: missing in .*: train_32x32\.mat, test_32x32\.mat; the download failed: ",
    ),
}


def prepare_data(dataset: str, root: Path, patch: pytest.MonkeyPatch) -> None:
    if dataset in WRITERS:
        refuse_downloads(patch)
        parts = (make_part(n, DATASETS[dataset]) for n in (20, 10))
        WRITERS[dataset](dataset, root, *parts, patch)
    else:
        write_pets(root)


@pytest.mark.parametrize("kind", DATA)
def test_damaged_data_end_with_code_2_and_one_line(
    kind: str, train: Trainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dataset, damage, message = DATA[kind]
    prepare_data(dataset, tmp_path, monkeypatch)
    damage(tmp_path, monkeypatch)
    assert_refused(train(dataset), message)
    assert not (train.folder(dataset) / "result.json").exists()


@pytest.mark.parametrize(
    ("dataset", "name", "message"),
    [
        ("mnist", IMAGES, r"t10k-images-idx3-ubyte cannot be read \(Permission denied\); make it readable"),
        (
            "pets",
            "pets/train/ant/1.png",
            r"train/ant/1\.png cannot be read \(Permission denied\); give this user",
        ),
        ("pets", "pets/train/ant", r"train/ant cannot be read \(Permission denied\); make it readable"),
    ],
)
def test_what_may_not_be_read_is_named(
    dataset: str, name: str, message: str, train: Trainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prepare_data(dataset, tmp_path, monkeypatch)
    unreadable(name)(tmp_path, monkeypatch)
    if os.access(tmp_path / name, os.R_OK):
        pytest.skip("root may read everything")
    try:
        assert_refused(train(dataset), message)
    finally:
        (tmp_path / name).chmod(0o755)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_streamed_image_that_is_damaged_is_the_same_line(workers: int, train: Trainer, tmp_path: Path) -> None:
    write_pets(tmp_path)
    cut("pets/test/ant/1.png", -1500)(tmp_path, pytest.MonkeyPatch())
    definition = {"path": "pets", "stream": True, "mean": [0.5] * 3, "std": [0.2] * 3}
    outcome = train("pets", imagefolders={"pets": definition}, loader_workers=workers)
    assert_refused(outcome, UNDECODABLE.format("test/ant/1.png"))


def test_a_class_without_an_image_to_hold_out_is_one_line(train: Trainer, tmp_path: Path) -> None:
    write_pets(tmp_path)
    for i in range(1, 4):
        (tmp_path / "pets" / "train" / "bee" / f"{i}.png").unlink()
    assert_refused(train("pets", validation={}), r"class 1 has one training image, and the validation part needs one")
