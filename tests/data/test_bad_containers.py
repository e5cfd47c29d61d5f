"""Published data sets in columns and class folders that must not be used, and the one line that each gives."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linconv.data import DATASETS, DataError, load
from tests.image_folders import Change, cut, deep_png, link, remove, rename, write
from tests.published_files import make_part, write_class_folders, write_columns

COLUMN = "train/01-class 001.00.webp"
FILE = "test/class 003/0000.png"
TRAIN_FILE = "train/class 003/0000.png"


def image(name: str, mode: str, size: tuple[int, int] = (32, 32), value: object = 7, **options: object) -> Change:
    return lambda folder: Image.new(mode, size, value).save(folder / name, **options)  # type: ignore[arg-type]


def half_transparent(folder: Path) -> None:
    Image.fromarray(np.dstack([np.zeros((32, 32, 3), np.uint8), np.full((32, 32), 128, np.uint8)])).save(folder / FILE)


def other_labels(folder: Path) -> None:
    """Two classes whose columns have each other's images."""
    one, other = folder / COLUMN, folder / COLUMN.replace("01-class 001", "02-class 002")
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def doubled(folder: Path) -> None:
    shutil.copy(folder / FILE, folder / "test/class 003/0001.png")


CHANGED = r"part \({} below .*\): images are missing, changed, doubled or have wrong labels \(digest .*\); replace the"

FOLDERS: dict[str, tuple[str, Change, str]] = {
    "no test part": ("cifar10", remove("test"), r"no folder .*cifar10/test; add it, or remove .*cifar10 to have the"),
    "no training part": ("cifar10", remove("train"), r"no folder .*cifar10/train; add it, or remove .*cifar10 to have"),
    "a class is missing": ("cifar10", remove("train/class 004"), r"cifar10/train holds 9 classes, not 10; complete it"),
    "a class too many": ("cifar10", write("train/frog/0.png", b""), r"cifar10/train holds 11 classes, not 10;"),
    "a part with another class": (
        "cifar10",
        rename(("test/class 004", "test/frog")),
        r"train and test must have the same classes; only one has class 004, frog",
    ),
    "classes that differ by case": (
        "cifar10",
        write("train/Class 004/0.png", b""),
        r"'Class 004' and 'class 004' differ only by case; rename one",
    ),
    "names in place of labels": (
        "mnist",
        lambda folder: [(folder / part / "0").rename(folder / part / "zero") for part in ("train", "test")],
        r"mnist: name its classes by their labels, 0 to 9, not '1'",
    ),
    "a JPEG file": ("cifar10", write("train/class 004/x.jpg", b""), r"x\.jpg is not a PNG file; .*: remove it"),
    "a folder in a class": ("cifar10", write("train/class 004/x/1.png", b""), r"x is not a PNG file; .*: remove it"),
    "a fifo": ("cifar10", lambda folder: os.mkfifo(folder / "test/class 003/x.png"), r"x\.png is a fifo, not a file"),
    "a link to nowhere": ("cifar10", link("test/class 003/x.png", "gone"), r"the link .*x\.png leads nowhere"),
    "an image is missing": (
        "cifar10",
        lambda folder: (folder / TRAIN_FILE).unlink(),
        CHANGED.format("png class folders"),
    ),
    "a class without images": (
        "svhn",
        lambda folder: (folder / "test/3/0000.png").unlink(),
        r"test/3 holds no PNG file",
    ),
    "an image is doubled": ("cifar10", doubled, CHANGED.format("png class folders")),
    "an image of another size": ("cifar10", image(FILE, "RGB", (31, 32)), r"has 31 x 32 pixels, not 32 x 32; replace"),
    "a column": ("cifar10", image(FILE, "RGB", (32, 64)), r"has 32 x 64 pixels, not 32 x 32; replace it"),
    "another image": ("cifar10", image(FILE, "RGB"), CHANGED.format("png class folders")),
    "colors in a gray set": (
        "fashionmnist",
        image("test/3/0000.png", "RGB", (28, 28), (1, 2, 3)),
        r"test/3/0000\.png has colors, and the data set is gray; replace it",
    ),
    "transparency": ("cifar10", half_transparent, r"0000\.png has transparent pixels; replace it by a copy without"),
    "16 bits": ("cifar10", deep_png(FILE, 2, 3), r"0000\.png has more than 8 bits, not 8 bits per channel; replace it"),
    "a cut file": ("cifar10", cut(FILE, 1500), r"0000\.png cannot be decoded \(.*\); replace or delete it"),
    "a JPEG file in disguise": (
        "cifar10",
        lambda folder: Image.new("RGB", (32, 32)).save(folder / FILE, "JPEG"),
        r"0000\.png cannot be decoded \(.*\); replace or delete it",
    ),
}
COLUMNS: dict[str, tuple[str, Change, str]] = {
    "no test part": ("cifar10", remove("test"), r"no folder .*cifar10/test; add it, or remove"),
    "another file": ("cifar10", write("train/list.txt", b"x"), r"list\.txt is no file <label>-<class>\.<number>\.webp"),
    "a folder": ("cifar10", write("train/03-x.00.webp/x", b"x"), r"webp is no file <label>-<class>\.<number>\.webp"),
    "a column is missing": (
        "mnist",
        lambda folder: (folder / "train/01-1.00.webp").rename(folder / "train/01-1.01.webp"),
        r"mnist/train: column 0 of class '1' is missing; add it",
    ),
    "a column twice": (
        "cifar10",
        lambda folder: shutil.copy(folder / COLUMN, folder / COLUMN.replace("00.webp", "0.png")),
        r"0\.png and .*00\.webp are the same column; remove one|00\.webp and .*0\.png are the same column; remove one",
    ),
    "a label is missing": (
        "cifar10",
        lambda folder: [file.unlink() for file in folder.glob("*/01-*")],
        r"labels must run from 0 in the alphabetical order of the classes, .*; found 0-class 000, 2-class 002",
    ),
    "labels in another order": (
        "cifar10",
        lambda folder: [f.rename(f.with_name(f.name.replace("001", "zebra"))) for f in folder.glob("*/01-*")],
        r"labels must run from 0 in the alphabetical order of the classes, without a gap; found .* 1-class zebra, 2-",
    ),
    "images under each other's labels": ("cifar10", other_labels, CHANGED.format("image columns")),
    "a lossy file": ("cifar10", image(COLUMN, "RGB", (32, 64)), r"is not a plain lossless WebP file; save it"),
    "an empty file": ("cifar10", write(COLUMN, b""), r"is not a plain lossless WebP file; save it losslessly"),
    "half an image": (
        "cifar10",
        image(COLUMN, "RGB", (32, 48), lossless=True),
        r"has 32 x 48 pixels, not columns of images of 32 x 32; replace it",
    ),
    "a cut file": ("cifar10", cut(COLUMN, 40), r"00\.webp cannot be decoded \(.*\); replace or delete it"),
}


@pytest.mark.parametrize(
    ("container", "kind"), [("folders", kind) for kind in FOLDERS] + [("columns", kind) for kind in COLUMNS]
)
def test_a_container_that_cannot_be_used_gives_one_line(
    container: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, change, message = (FOLDERS if container == "folders" else COLUMNS)[kind]
    writer = write_class_folders if container == "folders" else write_columns
    writer(name, tmp_path, make_part(20, DATASETS[name]), make_part(10, DATASETS[name]), monkeypatch)
    change(tmp_path / name)
    with pytest.raises(DataError, match=message) as caught:
        load(name, tmp_path)
    assert str(caught.value).startswith(f"data set '{name}'")
    assert str(caught.value).isprintable()
