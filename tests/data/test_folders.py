"""Folders of image files as data sets, from files made here."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from linconv.catalogue.networks import NETWORKS
from linconv.data import Dataset, ImageFiles
from linconv.models import build_model
from tests.image_folders import load_pets, pixels, write_classes
from tests.image_folders import write_image as write


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


def test_formats_sizes_and_color_modes_mix(parts: Path) -> None:
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


@pytest.mark.parametrize("architecture", NETWORKS)
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


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("TRAIN", "TEST"),
        ("training", "testing"),
        ("training_set", "test_set"),
        ("trainset", "testset"),
        ("train_images", "test_images"),
        ("images-train", "images-test"),
        ("TrainData", "TestData"),
        ("train2017", "val2017"),
        ("train", "val"),
        ("train", "valid"),
        ("Training", "Validation"),
        ("train", "dev"),
        ("train", "eval"),
        ("train", "Evaluation"),
        ("learn", "holdout"),
        ("trainval", "test"),
        ("train_val", "test"),
        ("1_train", "2_test"),
        ("seg_train", "seg_test"),
        ("pets-train", "pets-valid"),
    ],
)
def test_parts_are_recognized_under_their_usual_names(train: str, test: str, parts: Path) -> None:
    wanted = load_pets(parts)
    (parts / "pets" / "train").rename(parts / "pets" / train)
    (parts / "pets" / "test").rename(parts / "pets" / test)
    data = load_pets(parts)
    assert data.content == wanted.content
    assert torch.equal(data.test_images, wanted.test_images)


def test_the_test_part_comes_before_a_validation_part(parts: Path, caplog: pytest.LogCaptureFixture) -> None:
    wanted = load_pets(parts)
    write_classes(parts / "pets" / "validation", 1, first_seed=500)
    assert load_pets(parts).content == wanted.content
    assert "not read, beside the parts: validation/" in caplog.text
    shutil.rmtree(parts / "pets" / "test")
    for i in range(3):
        write(parts / "pets" / "test" / f"{i}.png", 900 + i)  # as published without labels
    assert load_pets(parts).content.test.images == 3


@pytest.mark.parametrize("name", ["train", "Test", "dev", "valid_set", "train_station"])
def test_a_class_may_be_called_like_a_part(name: str, classes_only: Path) -> None:
    (classes_only / "pets" / "cat").rename(classes_only / "pets" / name)
    assert sorted(load_pets(classes_only).content.classes) == sorted(["ant", "bee", name])


def test_what_systems_add_is_ignored(parts: Path) -> None:
    before = load_pets(parts)
    pets = parts / "pets"
    for folder in (pets, pets / "train", pets / "train" / "ant"):
        for name in (".ipynb_checkpoints", "__MACOSX", ".Trash", "@eaDir"):
            write(folder / name / "0.png", 700)
            write(folder / name / "train" / "ant" / "0.png", 701)
        (folder / ".empty").mkdir()
        (folder / "._0.png").write_text("a fork of a Macintosh file")
        write(folder / ".hidden.png", 702)
        (folder / ".nowhere").symlink_to("gone")
    assert pixels_and_content(load_pets(parts)) == pixels_and_content(before)


def pixels_and_content(data: Dataset) -> tuple[object, ...]:
    assert isinstance(data.train_images, torch.Tensor)
    assert isinstance(data.test_images, torch.Tensor)
    return data.train_images.numpy().tobytes(), data.test_images.numpy().tobytes(), data.content


def test_links_serve_once_within_a_class(parts: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside / "x.png", 800)
    ant = parts / "pets" / "train" / "ant"
    (ant / "a").symlink_to(outside)
    once = load_pets(parts)
    assert once.content.train.per_class == (4, 3, 3)
    for name in ("b", "c"):
        (ant / name).symlink_to(outside)
    (ant / "y.png").symlink_to(outside / "x.png")
    (ant / "z.png").symlink_to("0.png")
    os.link(ant / "1.png", ant / "1b.png")
    assert load_pets(parts).content == once.content


def test_classes_and_parts_may_be_links(parts: Path, tmp_path: Path) -> None:
    wanted = load_pets(parts)
    (parts / "pets" / "train" / "ant").rename(tmp_path / "moved")
    (parts / "pets" / "train" / "ant").symlink_to(tmp_path / "moved")
    (parts / "pets" / "test").rename(tmp_path / "elsewhere")
    (parts / "pets" / "test").symlink_to(tmp_path / "elsewhere")
    assert pixels_and_content(load_pets(parts)) == pixels_and_content(wanted)


def test_names_of_any_bytes_are_read_and_stored(parts: Path) -> None:
    for part in ("train", "test"):
        folder = parts / "pets" / part
        (folder / "bee").rename(folder / os.fsdecode(b'b\xff\n"e'))
    content = load_pets(parts).content
    assert content.classes == ("ant", 'b\\udcff\\n"e', "cat")
    assert type(content).model_validate_json(content.model_dump_json()) == content


STORED = {  # how a camera stores a scene, by the EXIF orientation that says so
    1: lambda scene: scene,
    2: lambda scene: scene[:, ::-1],
    3: lambda scene: scene[::-1, ::-1],
    4: lambda scene: scene[::-1],
    5: lambda scene: scene.transpose(1, 0, 2),
    6: lambda scene: np.rot90(scene),
    7: lambda scene: scene[::-1, ::-1].transpose(1, 0, 2),
    8: lambda scene: np.rot90(scene, -1),
}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", STORED)
def test_images_are_turned_upright_by_their_exif_orientation(orientation: int, suffix: str, parts: Path) -> None:
    scene = np.zeros((32, 32, 3), np.uint8)
    scene[:16, :8] = 255  # neither mirrored nor turned it is the same
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](scene)))
    stored.save(parts / "pets" / "train" / "cat" / f"9{suffix}", exif=exif)
    upright = load_pets(parts).train_images[-1].numpy().transpose(1, 2, 0)
    assert np.abs(upright.astype(int) - scene).mean() < 4  # JPEG and WebP lose a little


@pytest.mark.parametrize("stream", [True, False])
def test_the_same_image_in_both_parts_is_warned_about(
    stream: bool, parts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_pets(parts, stream=stream)
    assert "in the training part too" not in caplog.text
    shutil.copy(parts / "pets" / "train" / "ant" / "0.png", parts / "pets" / "test" / "bee" / "7.png")
    shutil.copy(parts / "pets" / "train" / "cat" / "1.png", parts / "pets" / "test" / "cat" / "8.png")
    load_pets(parts, stream=stream)
    assert "2 of 8 test images are in the training part too, 1 of them with another label" in caplog.text
    assert "(pets/test/bee/7.png is pets/train/ant/0.png); remove them" in caplog.text


def test_classes_and_counts_are_logged_and_stored(parts: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "linconv")
    (parts / "pets" / "train" / "ant" / "0.png").unlink()
    (parts / "pets" / "train" / "ant" / "film.GIF").write_text("not read")
    content = load_pets(parts).content
    assert "3 classes: ant (2 + 2), bee (3 + 2), cat (3 + 2)" in caplog.text
    assert "1 files are not read, by their endings (1 .gif)" in caplog.text
    assert (content.container, content.classes, content.known) == ("image folder", ("ant", "bee", "cat"), None)
    assert (content.train.per_class, content.test.per_class) == ((2, 3, 3), (2, 2, 2))
    assert content.train.digest != content.test.digest
    streamed = load_pets(parts, stream=True)
    assert (streamed.content.train.digest, streamed.content.train.per_class) == (None, (2, 3, 3))
    assert streamed.test_order.tolist() == list(range(6))


def test_images_are_decoded_once(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_pets(parts)

    def refuse(*_: object) -> None:
        raise AssertionError("nothing is to be decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(ImageFiles, "read", refuse)
        assert pixels_and_content(load_pets(parts)) == pixels_and_content(first)
        for change in ({"image_size": 40}, {"path": "pets/train"}):
            with pytest.raises(AssertionError, match="nothing is to be decoded"):
                load_pets(parts, **change)
    os.utime(parts / "pets" / "train" / "ant" / "0.png", (5, 5))
    with monkeypatch.context() as patch:
        patch.setattr(ImageFiles, "read", refuse)
        with pytest.raises(AssertionError, match="nothing is to be decoded"):
            load_pets(parts)
