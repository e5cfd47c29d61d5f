"""The data sets that torchvision fetches, read from small files of the true formats."""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import tarfile
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets as tv

from linconv.data import DATASETS, DataError, Dataset, load
from tests.published_files import (
    A_FILE,
    CLASS_NAMES,
    TEST,
    TRAIN,
    WRITERS,
    Part,
    make_part,
    refuse_downloads,
    write_cifar,
    write_idx,
    write_mnist,
)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_downloads(monkeypatch)


@pytest.fixture(params=list(WRITERS))
def written(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None
) -> tuple[str, Part, Part]:
    name = request.param
    train, test = make_part(TRAIN, DATASETS[name]), make_part(TEST, DATASETS[name])
    WRITERS[name](name, tmp_path, train, test, monkeypatch)
    return name, train, test


def assert_equal(data: Dataset, train: Part, test: Part) -> None:
    border = data.info.border
    inside = slice(border, 32 - border)
    for images, labels, (wanted_images, wanted_labels) in (
        (data.train_images, data.train_labels, train),
        (data.test_images, data.test_labels, test),
    ):
        assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
        assert images.is_contiguous()
        assert images.shape == (len(wanted_labels), data.info.channels, 32, 32)
        assert np.array_equal(images[:, :, inside, inside].numpy(), wanted_images)
        assert int(images.sum()) == int(wanted_images.sum(dtype=np.int64))  # the border is zero
        assert np.array_equal(labels.numpy(), wanted_labels)


def test_files_are_read(written: tuple[str, Part, Part], tmp_path: Path) -> None:
    name, train, test = written
    assert_equal(load(name, tmp_path), train, test)


def test_damaged_file_is_named(written: tuple[str, Part, Part], tmp_path: Path) -> None:
    name, *_ = written
    file = tmp_path / A_FILE[name]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError) as caught:
        load(name, tmp_path)
    first, remedy = str(caught.value).split("; ", 1)
    assert first == f"{CLASS_NAMES[name]}: damaged or incomplete in {file.parent}: {file.name}"
    assert remedy.startswith("delete what is named, then run: ")
    assert f"import {CLASS_NAMES[name]}" in remedy
    assert len(str(caught.value).splitlines()) == 1


def test_an_altered_byte_is_refused_where_a_checksum_is_known(
    written: tuple[str, Part, Part], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "linconv")
    name, *_ = written
    file = tmp_path / A_FILE[name]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    if name == "fashionmnist":
        load(name, tmp_path)  # nothing published tells, without the archive
        assert "only their structure was checked" in caplog.text
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(bytes(content)))
        with pytest.raises(DataError, match=rf"damaged or incomplete: .*{file.name}\.gz \(its MD5"):
            load(name, tmp_path)
        return
    with pytest.raises(DataError, match=f"damaged or incomplete in .*: {file.name}; delete"):
        load(name, tmp_path)


def test_fashionmnist_is_compared_with_the_archives_beside_it(
    tmp_path: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = make_part(TRAIN, DATASETS["fashionmnist"]), make_part(TEST, DATASETS["fashionmnist"])
    write_mnist("fashionmnist", tmp_path, train, test, monkeypatch)
    raw, resources = tmp_path / "FashionMNIST" / "raw", []
    for archive, _ in tv.FashionMNIST.resources:
        content = gzip.compress((raw / archive.removesuffix(".gz")).read_bytes())
        (raw / archive).write_bytes(content)
        resources.append((archive, hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(tv.FashionMNIST, "resources", resources)
    assert_equal(load("fashionmnist", tmp_path), train, test)
    write_idx(raw / "t10k-images-idx3-ubyte", test[0][:, 0] ^ 1)  # its structure is that of the original
    with pytest.raises(DataError, match=r"damaged or incomplete in .*: t10k-images-idx3-ubyte; delete"):
        load("fashionmnist", tmp_path)


REAL_MNIST = Path(os.environ.get("LINCONV_DATA", "data"))


@pytest.mark.skipif(not (REAL_MNIST / "MNIST" / "raw").is_dir(), reason="MNIST's files are not here")
def test_the_real_mnist(no_network: None) -> None:
    data = load("mnist", REAL_MNIST)
    assert data.train_images.shape == (60000, 1, 32, 32)
    assert data.test_labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    values = data.train_images[:, :, 2:30, 2:30].double() / 255
    assert f"{float(values.mean()):.4f}" == "0.1307"


def test_a_file_that_cannot_be_read_and_a_folder_in_its_place_are_named(
    tmp_path: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = make_part(TEST, DATASETS["mnist"])
    write_mnist("mnist", tmp_path, part, part, monkeypatch)
    file = tmp_path / A_FILE["mnist"]

    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(DataError, match=r"cannot be read \(Permission denied\); make"):
            load("mnist", tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(DataError, match=f"damaged or incomplete in .*: {file.name}; delete"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00\x00\x08\x03\x00\x00", b"<html>not found</html>" * 9])
def test_idx_file_that_is_none_is_named(
    content: bytes, tmp_path: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = make_part(TEST, DATASETS["mnist"])
    write_mnist("mnist", tmp_path, part, part, monkeypatch)
    (tmp_path / A_FILE["mnist"]).write_bytes(content)
    with pytest.raises(DataError, match=r"damaged or incomplete in .*: t10k-images-idx3-ubyte"):
        load("mnist", tmp_path)


def test_labels_in_place_of_images_are_named(tmp_path: Path, no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    part = make_part(TEST, DATASETS["mnist"])
    write_mnist("mnist", tmp_path, part, part, monkeypatch)
    write_idx(tmp_path / A_FILE["mnist"], part[1])
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte"):
        load("mnist", tmp_path)


def test_missing_file_without_network_is_one_message_that_says_what_to_do(
    written: tuple[str, Part, Part], tmp_path: Path
) -> None:
    name, *_ = written
    file = tmp_path / A_FILE[name]
    file.unlink()
    with pytest.raises(DataError) as caught:
        load(name, tmp_path)
    missing, reason, remedy = str(caught.value).split("; ", 2)
    assert len(str(caught.value).splitlines()) == 1
    assert missing == f"{CLASS_NAMES[name]}: missing in {file.parent}: {file.name}"
    assert "no network in this test" in reason
    assert f'python -c "from torchvision.datasets import {CLASS_NAMES[name]}; ' in remedy
    assert f"{CLASS_NAMES[name]}('{tmp_path}'" in remedy


def test_command_in_the_message_is_python_and_fetches_all_parts(tmp_path: Path, no_network: None) -> None:
    with pytest.raises(DataError) as caught:
        load("svhn", tmp_path / "data")
    program = str(caught.value).split('python -c "')[1].rstrip('"')
    compile(program, "command", "exec")
    assert "split='train'" in program
    assert "split='test'" in program


def test_missing_files_are_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "not" / "yet" / "there"
    part = make_part(TEST, DATASETS["mnist"])
    fetched = []

    def download(self: tv.MNIST) -> None:
        fetched.append(self.root)
        write_mnist("mnist", Path(self.root), part, part, monkeypatch)

    monkeypatch.setattr(tv.MNIST, "download", download)
    assert_equal(load("mnist", root), part, part)
    assert fetched
    fetched.clear()
    assert_equal(load("mnist", root), part, part)
    assert not fetched


def test_a_download_that_is_cut_off_leaves_nothing_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = make_part(TEST, DATASETS["mnist"])
    cut_off = True

    def download(self: tv.MNIST) -> None:
        write_mnist("mnist", Path(self.root), part, part, monkeypatch)
        if cut_off:
            file = Path(self.root) / A_FILE["mnist"]
            file.write_bytes(file.read_bytes()[:100])
            raise URLError("connection lost")

    monkeypatch.setattr(tv.MNIST, "download", download)
    with pytest.raises(DataError, match=r"the download failed: .*connection lost"):
        load("mnist", tmp_path)
    assert not any(path.is_file() for path in tmp_path.rglob("*") if path.suffix != ".lock")
    (tmp_path / ".MNIST.download" / "MNIST" / "raw").mkdir(parents=True)  # as a killed process leaves it
    (tmp_path / ".MNIST.download" / A_FILE["mnist"]).write_bytes(b"half")
    cut_off = False
    assert_equal(load("mnist", tmp_path), part, part)
    assert not (tmp_path / ".MNIST.download").exists()


def test_an_archive_that_lies_there_is_unpacked_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = make_part(TRAIN, DATASETS["cifar10"]), make_part(TEST, DATASETS["cifar10"])
    write_cifar("cifar10", tmp_path / "made", train, test, monkeypatch)
    archive = tmp_path / tv.CIFAR10.filename
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(tmp_path / "made" / tv.CIFAR10.base_folder, tv.CIFAR10.base_folder)
    monkeypatch.setattr(tv.CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    assert_equal(load("cifar10", tmp_path), train, test)
    assert archive.is_file()
    assert not archive.is_symlink()


def test_a_damaged_archive_is_named_and_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / tv.CIFAR10.filename
    archive.write_bytes(b"half a download")

    def urlopen(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing is to be fetched in its place")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    with pytest.raises(DataError, match=rf"damaged or incomplete: .*{archive.name} .*; delete it"):
        load("cifar10", tmp_path)
    assert archive.read_bytes() == b"half a download"


def test_a_connection_that_breaks_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: tv.MNIST) -> None:
        raise IncompleteRead(b"half")

    monkeypatch.setattr(tv.MNIST, "download", download)
    with pytest.raises(DataError, match="the download failed: IncompleteRead"):
        load("mnist", tmp_path)


def test_folder_that_cannot_be_made_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(DataError, match=r"missing in .*data"):
        load("svhn", tmp_path / "data")
