"""One published data set in three containers: the same images, checked by content, decoded once."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from linconv.data import DATASETS, DataError, Dataset, cache, containers, content, load
from tests.published_files import (
    WRITERS,
    Part,
    Writer,
    as_image,
    class_name,
    make_part,
    refuse_downloads,
    write_class_folders,
    write_columns,
)

NAMES = list(WRITERS)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_downloads(monkeypatch)


def parts_of(name: str) -> tuple[Part, Part]:
    """Two or three images of each class."""
    classes = DATASETS[name].classes
    return make_part(20 if classes == 10 else 250, DATASETS[name]), make_part(classes, DATASETS[name])


def in_container(writer: Writer, name: str, root: Path, parts: tuple[Part, Part], patch: pytest.MonkeyPatch) -> Dataset:
    root.mkdir(parents=True, exist_ok=True)
    writer(name, root, *parts, patch)
    return load(name, root)


def pixels_and_labels(data: Dataset) -> tuple[bytes, ...]:
    tensors = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    return tuple(t.numpy().tobytes() for t in tensors if isinstance(t, torch.Tensor))


@pytest.mark.parametrize("name", NAMES)
def test_every_container_gives_the_same_content(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(name)
    archives = in_container(WRITERS[name], name, tmp_path / "a", parts, monkeypatch)
    columns = in_container(write_columns, name, tmp_path / "b", parts, monkeypatch)
    folders = in_container(write_class_folders, name, tmp_path / "c", parts, monkeypatch)
    assert [d.content.container for d in (archives, columns, folders)] == list(containers.ORDER)
    assert pixels_and_labels(columns) == pixels_and_labels(folders)  # so that training is the same, bit for bit
    for data in (columns, folders):
        assert data.content.train == archives.content.train
        assert data.content.test == archives.content.test
        assert data.content.known == archives.content.known
        assert data.content.classes == archives.content.classes
        ordered = archives.test_images[archives.test_order]  # type: ignore[index]
        assert torch.equal(data.test_images[data.test_order], ordered)  # type: ignore[index]


def test_the_digest_is_the_sum_of_the_hashes_of_label_and_pixels(tmp_path: Path) -> None:
    images, labels = parts_of("cifar100")[0]
    hashes = content.image_hashes(images, labels)
    wanted = [
        hashlib.sha256(int(label).to_bytes(2, "big") + np.ascontiguousarray(image.transpose(1, 2, 0)).tobytes())
        for image, label in zip(images, labels, strict=True)
    ]
    assert [row.tobytes() for row in hashes] == [h.digest() for h in wanted]
    assert content.content_digest(hashes) == f"{sum(int(h.hexdigest(), 16) for h in wanted) % 2**256:064x}"
    order = content.canonical_order(hashes).tolist()
    assert order == sorted(range(len(hashes)), key=lambda i: wanted[i].digest())
    assert content.content_digest(hashes[:0]) == "0" * 64


def test_the_digests_of_the_real_data_sets_stand_here() -> None:
    assert set(content.KNOWN) == set(NAMES)
    assert {name for name, known in content.KNOWN.items() if known} == {"mnist", "cifar10", "cifar100"}


@pytest.mark.parametrize("writer", [write_columns, write_class_folders])
def test_another_content_is_refused(writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = parts_of("cifar10")
    writer("cifar10", tmp_path, train, test, monkeypatch)
    other = content.PartDigests(content.content_digest(content.image_hashes(*train)), "0" * 64)
    monkeypatch.setitem(content.KNOWN, "cifar10", other)
    with pytest.raises(DataError, match=r"'cifar10', test part \(.* below .*\): images are missing, .*; replace"):
        load("cifar10", tmp_path)


def test_without_a_known_digest_the_content_counts_as_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = in_container(write_class_folders, "svhn", tmp_path, parts_of("svhn"), monkeypatch)
    assert data.content.known is None
    assert data.content.train.per_class == (2,) * 10
    assert data.content.decoder.startswith("Pillow ")


def test_of_several_containers_the_first_in_the_order_is_used_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "linconv")
    parts = parts_of("cifar10")
    for writer in (write_columns, WRITERS["cifar10"]):
        writer("cifar10", tmp_path, *parts, monkeypatch)
    assert load("cifar10", tmp_path).content.container == "archives"
    assert "found archives and image columns; using the archives" in caplog.text


@pytest.mark.parametrize("name", ["mnist", "fashionmnist"])
def test_grey_images_in_colored_files_are_read_exactly(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = parts_of(name)
    gray = in_container(write_class_folders, name, tmp_path, parts, monkeypatch)
    for mode in ("RGB", "RGBA", "P"):
        for file in (tmp_path / name).rglob("*.png"):
            Image.open(file).convert("L").convert(mode).save(file)
        again = load(name, tmp_path)
        assert pixels_and_labels(again) == pixels_and_labels(gray)


def test_files_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Path] = []
    real = containers.read_pixels

    def counted(file: Path, channels: int) -> np.ndarray:
        decoded.append(file)
        return real(file, channels)

    monkeypatch.setattr(containers, "read_pixels", counted)
    first = in_container(write_class_folders, "cifar10", tmp_path, parts_of("cifar10"), monkeypatch)
    assert len(decoded) == 30
    again = load("cifar10", tmp_path)
    assert len(decoded) == 30
    assert pixels_and_labels(again) == pixels_and_labels(first)
    assert again.content == first.content
    again.train_images[:] = 0  # type: ignore[index]
    assert pixels_and_labels(load("cifar10", tmp_path)) == pixels_and_labels(first)  # the file has not changed
    assert len(decoded) == 30
    file = tmp_path / "cifar10" / "train" / class_name("cifar10", 0) / "0000.png"
    os.utime(file, (1, 1))
    load("cifar10", tmp_path)
    assert len(decoded) == 60
    shelf = tmp_path / cache.FOLDER / "cifar10-png-class-folders"
    assert len(list(shelf.iterdir())) == 1  # the entry of the earlier files is gone


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("train_images.npy", lambda b: b[:-1] + bytes([b[-1] ^ 1])),
        ("train_images.npy", lambda b: b[:-100]),
        ("test_labels.npy", lambda b: b""),
        ("test_labels.npy", lambda b: b[:-8] + bytes([b[-8] ^ 1]) + b[-7:]),
        ("digests.json", lambda b: b"{"),
        ("digests.json", lambda b: None),
    ],
)
def test_a_damaged_cache_is_built_again(
    file: str, change: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = in_container(write_columns, "cifar10", tmp_path, parts_of("cifar10"), monkeypatch)
    [entry] = (tmp_path / cache.FOLDER / "cifar10-image-columns").iterdir()
    damaged = change((entry / file).read_bytes())  # type: ignore[operator]
    (entry / file).unlink()
    if damaged is not None:
        (entry / file).write_bytes(damaged)
    assert pixels_and_labels(load("cifar10", tmp_path)) == pixels_and_labels(first)
    assert "is damaged" in caplog.text
    caplog.clear()
    assert pixels_and_labels(load("cifar10", tmp_path)) == pixels_and_labels(first)
    assert "is damaged" not in caplog.text


def test_files_of_one_size_and_time_that_change_are_told_apart(tmp_path: Path) -> None:
    one, other, third = (tmp_path / name for name in "abc")

    def start() -> str:
        for file, text in ((one, b"1"), (other, b"2")):
            file.unlink(missing_ok=True)
            file.write_bytes(text)
            os.utime(file, (1, 1))
        return cache.files_key([str(one), str(other)])

    def exchange() -> None:
        one.rename(third)
        other.rename(one)
        third.rename(other)

    def overwrite() -> None:
        time.sleep(0.05)  # longer than the clock of a file system takes to tick
        one.write_bytes(b"3")
        os.utime(one, (1, 1))

    for change in (exchange, overwrite):
        before = start()
        assert cache.files_key([str(one), str(other)]) == before
        change()
        assert cache.files_key([str(one), str(other)]) != before, change.__name__


def test_runs_that_start_together_decode_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_columns("cifar10", tmp_path, *parts_of("cifar10"), monkeypatch)
    decoded: list[str] = []
    real = containers.read_pixels

    def slow(file: str, channels: int) -> np.ndarray:
        decoded.append(file)
        time.sleep(0.02)
        return real(file, channels)

    monkeypatch.setattr(containers, "read_pixels", slow)
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: load("cifar10", tmp_path), range(4)))
    assert len(decoded) == len(set(decoded)) == 20
    assert len({pixels_and_labels(data) for data in loaded}) == 1


def test_what_a_killed_process_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = tmp_path / cache.FOLDER / "cifar10-image-columns"
    (shelf / ".new-killed").mkdir(parents=True)
    (shelf / ".new-killed" / "train_images.npy").write_bytes(b"half")
    in_container(write_columns, "cifar10", tmp_path, parts_of("cifar10"), monkeypatch)
    assert [entry.name.startswith(".new-") for entry in shelf.iterdir()] == [False]


def test_a_folder_that_cannot_be_written_to_does_without_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "linconv")
    (tmp_path / cache.FOLDER).write_text("a file in the way, as a folder without permission would be")
    data = in_container(write_columns, "cifar10", tmp_path, parts_of("cifar10"), monkeypatch)
    assert data.content.known
    assert "decoded images are not kept" in caplog.text


def test_a_write_that_fails_leaves_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        first = in_container(write_columns, "cifar10", tmp_path, parts_of("cifar10"), monkeypatch)
    assert list((tmp_path / cache.FOLDER / "cifar10-image-columns").iterdir()) == []
    assert pixels_and_labels(load("cifar10", tmp_path)) == pixels_and_labels(first)


def test_labels_that_no_names_can_tell_must_be_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_class_folders("fashionmnist", tmp_path, *parts_of("fashionmnist"), monkeypatch)
    for part in ("train", "test"):
        (tmp_path / "fashionmnist" / part / "0").rename(tmp_path / "fashionmnist" / part / "Ankle boot")
    with pytest.raises(DataError, match="name its classes by their labels, 0 to 9"):
        load("fashionmnist", tmp_path)


def test_images_of_another_size_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_class_folders("cifar10", tmp_path, *parts_of("cifar10"), monkeypatch)
    file = next((tmp_path / "cifar10").rglob("*.png"))
    as_image(np.zeros((64, 32, 3), np.uint8)).save(file)
    with pytest.raises(DataError, match=rf"{file} has 32 x 64 pixels, not 32 x 32; replace it"):
        load("cifar10", tmp_path)
