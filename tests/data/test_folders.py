"""Folders of image files as data sets, from files made here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from linconv.config import ImageFolderOptions
from linconv.data import DataError, Dataset, load
from linconv.models import ARCHITECTURES, build_model

CLASSES = ("ant", "bee", "cat")


def pixels(seed: int, size: int = 32, mode: str = "RGB") -> np.ndarray:
    shape = (size, size) if mode == "L" else (size, size, len(mode))
    return np.random.RandomState(seed).randint(0, 256, shape, dtype=np.uint8)


def write(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(file)


def write_classes(folder: Path, each: int, first_seed: int = 0) -> None:
    """`each` PNG files of every class; the seeds of their pixels count up in the order of the files."""
    for k, name in enumerate(CLASSES):
        for i in range(each):
            write(folder / name / f"{i:02}.png", pixels(first_seed + each * k + i))


def load_pets(root: Path, **options: object) -> Dataset:
    return load("pets", root, imagefolder=ImageFolderOptions.model_validate({"path": "pets", **options}))


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder with train/ (3 of each class) and test/ (2 of each)."""
    write_classes(tmp_path / "pets" / "train", 3)
    write_classes(tmp_path / "pets" / "test", 2, first_seed=100)
    return tmp_path


@pytest.fixture
def classes_only(tmp_path: Path) -> Path:
    write_classes(tmp_path / "pets", 10)
    return tmp_path


def test_given_parts_are_read_pixel_for_pixel_in_the_order_of_names(parts: Path) -> None:
    data = load_pets(parts)
    for images, labels, each, first_seed in (
        (data.train_images, data.train_labels, 3, 0),
        (data.test_images, data.test_labels, 2, 100),
    ):
        wanted = np.stack([pixels(first_seed + i).transpose(2, 0, 1) for i in range(3 * each)])
        assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
        assert np.array_equal(images.numpy(), wanted)
        assert labels.tolist() == [k for k in range(3) for _ in range(each)]
    assert (data.info.classes, data.info.channels) == (3, 3)


def test_statistics_are_measured_on_the_training_part_unless_given(parts: Path) -> None:
    data = load_pets(parts, crop_padding=2, flip=True)
    values = data.train_images.double() / 255
    assert data.info.mean == pytest.approx(values.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert data.info.std == pytest.approx(values.std((0, 2, 3), correction=0).tolist(), abs=1e-12)
    assert (data.info.crop_padding, data.info.flip) == (2, True)
    given = load_pets(parts, mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6]).info
    assert (given.mean, given.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_a_split_holds_out_the_same_share_of_every_class_and_loses_no_image(classes_only: Path) -> None:
    data = load_pets(classes_only)
    assert data.train_labels.bincount().tolist() == [8, 8, 8]
    assert data.test_labels.bincount().tolist() == [2, 2, 2]
    together = {(x.numpy().tobytes(), int(y)) for x, y in zip(data.train_images, data.train_labels, strict=True)}
    together |= {(x.numpy().tobytes(), int(y)) for x, y in zip(data.test_images, data.test_labels, strict=True)}
    assert together == {(pixels(i).transpose(2, 0, 1).tobytes(), i // 10) for i in range(30)}

    assert torch.equal(load_pets(classes_only).test_images, data.test_images)
    assert not torch.equal(load_pets(classes_only, split_seed=1).test_images, data.test_images)
    assert load_pets(classes_only, test_share=0.5).test_labels.bincount().tolist() == [5, 5, 5]
    for share, held_out in ((0.001, 1), (0.999, 9)):  # both parts keep an image
        assert load_pets(classes_only, test_share=share).test_labels.bincount().tolist() == [held_out] * 3


def test_a_growing_class_leaves_the_split_of_the_others(classes_only: Path) -> None:
    before = load_pets(classes_only)
    write(classes_only / "pets" / "ant" / "99.png", pixels(999))
    after = load_pets(classes_only)
    others = after.test_images[after.test_labels > 0]
    assert torch.equal(others, before.test_images[before.test_labels > 0])


def test_formats_sizes_and_colour_modes_mix(parts: Path) -> None:
    folder = parts / "pets" / "train" / "cat"
    shutil.rmtree(folder)
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 3
    write(folder / "a.JPEG", np.stack([smooth] * 3, axis=-1))
    write(folder / "b.jpg", np.full((70, 50), 90, dtype=np.uint8))
    write(folder / "c.png", pixels(1, mode="L"))
    write(folder / "d.png", np.dstack([pixels(2), np.full((32, 32), 128, dtype=np.uint8)]))
    checks = np.indices((64, 64)).sum(0) % 2 * 200
    write(folder / "deeper" / "e.bmp", np.stack([checks] * 3, axis=-1).astype(np.uint8))
    a, b, c, d, e = load_pets(parts).train_images[6:].int()
    assert int((a[0] - torch.from_numpy(smooth)).abs().max()) <= 8  # JPEG loses a little
    assert int((b - 90).abs().max()) <= 1
    assert np.array_equal(c.numpy(), np.stack([pixels(1, mode="L")] * 3))
    assert np.array_equal(d.numpy(), pixels(2).transpose(2, 0, 1))  # transparency is dropped
    # Antialiasing averages the checks of a pixel each; without it they would stay 0 or 200.
    assert int((e[:, 1:-1, 1:-1] - 100).abs().max()) <= 1


def test_another_image_size(parts: Path) -> None:
    data = load_pets(parts, image_size=48)
    assert data.train_images.shape == (9, 3, 48, 48)
    assert data.info.image_size == 48


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", [32, 45])
def test_every_network_takes_every_admitted_size(architecture: str, size: int) -> None:
    model = build_model(architecture, num_classes=3).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, size, size)).shape == (1, 3)


def test_files_that_are_no_images_are_not_read(parts: Path) -> None:
    before = load_pets(parts)
    for name in ("notes.txt", ".DS_Store", "Thumbs.db", "labels.csv"):
        (parts / "pets" / name).write_text("not an image")
        (parts / "pets" / "train" / name).write_text("not an image")
        (parts / "pets" / "train" / "ant" / name).write_text("not an image")
    assert torch.equal(load_pets(parts).train_images, before.train_images)


def test_a_class_may_be_called_train(classes_only: Path) -> None:
    (classes_only / "pets" / "cat").rename(classes_only / "pets" / "train")
    assert load_pets(classes_only).info.classes == 3


def truncate(folder: Path) -> None:
    file = folder / "train" / "bee" / "01.png"
    file.write_bytes(file.read_bytes()[:-1500])


def replace_by_text(folder: Path) -> None:
    (folder / "test" / "cat" / "00.png").write_text("<html>not found</html>")


def truncate_jpeg(folder: Path) -> None:
    file = folder / "train" / "ant" / "x.jpg"
    write(file, pixels(0))
    file.write_bytes(file.read_bytes()[:-300])


def empty_class(folder: Path) -> None:
    for file in (folder / "train" / "bee").iterdir():
        file.unlink()


def one_class(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    (folder / "test").rename(folder / "pictures")


def make_constant(folder: Path) -> None:
    for file in (folder / "train").rglob("*.png"):
        write(file, np.full((32, 32, 3), 7, dtype=np.uint8))


def single_image(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    for file in [*(folder / "test").rglob("00.png")]:
        file.unlink()
    for class_folder in [*(folder / "test").iterdir()]:
        class_folder.rename(folder / class_folder.name)
    (folder / "test").rmdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, r"no folder .*pets; put the images there, or change data_root or the data set's path"),
        (lambda folder: shutil.rmtree(folder / "test"), r"has train/<class>/ but no test/<class>/; add it"),
        (lambda folder: shutil.rmtree(folder / "train"), r"has test/<class>/ but no train/<class>/; add it"),
        (lambda folder: [shutil.rmtree(p) for p in folder.iterdir()], r"Couldn't find any class folder in .*pets"),
        (one_class, r"at least two class folders are needed, found only 'pictures'"),
        (single_image, r"class 'ant' has one image; training and test part need one each"),
        (lambda folder: shutil.rmtree(folder / "test" / "bee"), r"the same classes; 'bee' only in train/"),
        (lambda folder: write(folder / "test" / "dog" / "0.png", pixels(0)), r"'dog' only in test/"),
        (empty_class, r"train: Found no valid file for the classes bee\. Supported extensions are: \.jpg"),
        (truncate, r"train/bee/01\.png cannot be decoded \(.*\); replace or delete it"),
        (truncate_jpeg, r"train/ant/x\.jpg cannot be decoded \(.*truncated.*\)"),
        (replace_by_text, r"test/cat/00\.png cannot be decoded"),
        (make_constant, r"one value in all training images; give mean and std"),
    ],
)
def test_what_is_wrong_is_one_message_that_names_it(
    damage: Callable[[Path], object], message: str, parts: Path
) -> None:
    damage(parts / "pets")
    with pytest.raises(DataError, match=message) as caught:
        load_pets(parts)
    assert str(caught.value).startswith("data set 'pets': ")
    assert len(str(caught.value).splitlines()) == 1
