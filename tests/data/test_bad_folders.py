"""What may lie in a folder of images and must not be used: what is done to it, and the one line that it gives."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.image_folders import Change, assert_refused, link, remove, rename, write_classes, write_image, write_parts


def server(pets: Path) -> None:
    here = Path.cwd()
    os.chdir(pets / "train" / "ant")  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("9.png")
    finally:
        os.chdir(here)


def swap_levels(pets: Path) -> None:
    for part in ("train", "test"):
        for name in ("ant", "bee"):
            (pets / name).mkdir(exist_ok=True)
            (pets / part / name).rename(pets / name / part)
        (pets / part).rmdir()


def flatten(pets: Path) -> None:
    for part in ("train", "test"):
        for i, file in enumerate(sorted((pets / part).rglob("*.png"))):
            file.rename(pets / part / f"{i}.png")
        for name in ("ant", "bee"):
            (pets / part / name).rmdir()


SAME = r"{} and .*{} are one and the same, and belong to '{}' and '{}'; delete the one that is wrong"
BACK = r"the link .*{} leads back to a folder above itself; delete it"

PARTS: dict[str, tuple[Change, str]] = {
    # parts
    "no folder": (shutil.rmtree, r"no folder .*pets; put the images there, or change data_root or the data set's path"),
    "a file in its place": (
        lambda pets: (shutil.rmtree(pets), pets.write_text("x")),
        r"no folder .*pets; put the images there",
    ),
    "an empty folder": (remove("train", "test"), r"pets: at least two class folders are needed, found none"),
    "no test part": (remove("test"), r"pets has train/<class>/ but no test/<class>/; add it, or move"),
    "no training part": (remove("train"), r"pets has test/<class>/ but no train/<class>/; add it, or move"),
    "no test part, in capitals": (
        lambda pets: (remove("test")(pets), rename(("train", "TRAIN"))(pets)),
        r"pets has TRAIN/<class>/ but no test/<class>/; add it",
    ),
    "validation alone": (
        lambda pets: (remove("train")(pets), rename(("test", "Validation_Set"))(pets)),
        r"pets has Validation_Set/<class>/ but no train/<class>/; add it",
    ),
    "two training parts": (
        lambda pets: shutil.copytree(pets / "train", pets / "training"),
        r"train/ and training/ could each be the train part; rename or remove all but one",
    ),
    "two test parts": (
        lambda pets: shutil.copytree(pets / "test", pets / "testing_images"),
        r"test/ and testing_images/ could each be the test part; rename or remove all but one",
    ),
    "two validation parts and no test part": (
        lambda pets: (rename(("test", "val"))(pets), shutil.copytree(pets / "val", pets / "dev")),
        r"dev/ and val/ could each be the validation part; rename or remove all but one",
    ),
    "parts that differ by case": (
        lambda pets: shutil.copytree(pets / "train", pets / "Train"),
        r"pets: 'Train' and 'train' differ only by case; rename one",
    ),
    "two pairs of parts": (
        lambda pets: (
            rename(("train", "cats_train"), ("test", "cats_test"))(pets),
            [shutil.copytree(pets / f"cats_{part}", pets / f"dogs_{part}") for part in ("train", "test")],
        ),
        r"cats_train/, cats_test/ and dogs_train/, dogs_test/ could each be the parts; rename them to train and test",
    ),
    "parts without class folders": (
        flatten,
        r"train/ and test/ hold no class folders; put the images into train/<class>/ and test/<class>/",
    ),
    "parts with unusual names": (
        rename(("train", "first"), ("test", "second")),
        r"its folders \(first, second\) hold folders and no images; call parts train and test \(or ",
    ),
    "parts below every class": (
        swap_levels,
        r"pets/ant holds train/ and test/; a data set's parts are train/<class>/ and test/<class>/",
    ),
    "everything one level lower": (
        rename(("train", "pets/train"), ("test", "pets/test")),
        r"at least two class folders are needed, found only 'pets'; if they lie in .*pets/pets, give that as the path",
    ),
    # classes
    "a class with no image": (
        lambda pets: [file.unlink() for file in (pets / "train/bee").iterdir()],
        r"train: class 'bee' has no image; add some \(files ending in jpg, .*\), or delete the folder",
    ),
    "a class with other files alone": (
        lambda pets: [file.rename(file.with_suffix(".gif")) for file in (pets / "test/bee").iterdir()],
        r"test: class 'bee' has no image; add some",
    ),
    "a class with hidden images alone": (
        lambda pets: [file.rename(file.with_name(f".{file.name}")) for file in (pets / "test/ant").iterdir()],
        r"test: class 'ant' has no image; add some",
    ),
    "one class": (remove("train/bee", "test/bee"), r"at least two class folders are needed, found only 'ant'"),
    "a class in one part": (
        lambda pets: write_image(pets / "test/cat/0.png", 0),
        r"train/ and test/ must have the same classes; 'cat' only in test/: add what is missing",
    ),
    "classes that differ by case": (
        lambda pets: [write_image(pets / part / "ANT" / "0.png", k) for k, part in enumerate(("train", "test"))],
        r"train: 'ANT' and 'ant' differ only by case; rename one",
    ),
    "classes that differ by the way to write an accent": (
        lambda pets: [write_image(pets / "train" / name / "0.png", 0) for name in ("caf\u00e9", "cafe\u0301")],
        r"train: .* and .* differ only by case; rename one",
    ),
    "classes of the parts that differ by case": (
        rename(("test/ant", "test/Ant")),
        r"must have the same classes; 'Ant' only in test/, 'ant' only in train/",
    ),
    # links and what is no file
    "a link to the class itself": (link("train/ant/again", "."), BACK.format("train/ant/again")),
    "a link to the part": (link("train/ant/up", ".."), BACK.format("train/ant/up")),
    "a link to the data set": (link("train/ant/up", "../.."), BACK.format("train/ant/up")),
    "a link to the root": (link("train/bee/up", "/"), BACK.format("train/bee/up")),
    "two loops": (
        lambda pets: [(pets / "train" / name / "up").symlink_to("../..") for name in ("ant", "bee")],
        BACK.format("train/ant/up"),
    ),
    "a class that links to the data set": (link("train/cat", ".."), r"leads back to a folder above itself; delete it"),
    "a class that links to another": (
        lambda pets: [(pets / part / "cat").symlink_to("ant") for part in ("train", "test")],
        SAME.format("train/ant", "train/cat", "train/ant", "train/cat"),
    ),
    "a link to another class within a class": (
        link("train/ant/more", "../bee"),
        SAME.format("train/ant/more", "train/bee", "train/ant", "train/bee"),
    ),
    "a test part that links to the training part": (
        lambda pets: (shutil.rmtree(pets / "test"), (pets / "test").symlink_to("train")),
        SAME.format("train/ant", "test/ant", "train/ant", "test/ant"),
    ),
    "an image that links to one of another class": (
        link("train/bee/9.png", "../ant/0.png"),
        SAME.format("train/ant/0.png", "train/bee/9.png", "train/ant", "train/bee"),
    ),
    "a second name for an image of the other part": (
        lambda pets: os.link(pets / "train/ant/0.png", pets / "test/ant/9.png"),
        SAME.format("train/ant/0.png", "test/ant/9.png", "train/ant", "test/ant"),
    ),
    "a link that leads nowhere": (
        link("test/bee/9.png", "gone.png"),
        r"the link .*9\.png leads nowhere \(No such file",
    ),
    "a link to itself": (link("test/bee/9.png", "9.png"), r"the link .*9\.png leads nowhere \(Too many levels"),
    "a fifo": (lambda pets: os.mkfifo(pets / "train/ant/9.png"), r"9\.png is a fifo, not a file or folder; remove it"),
    "a fifo beside the parts": (lambda pets: os.mkfifo(pets / "pipe"), r"pipe is a fifo, not a file or folder"),
    "a socket": (server, r"9\.png is a socket, not a file or folder; remove it"),
    "a device": (link("train/ant/9.png", "/dev/zero"), r"9\.png is a device, not a file or folder; remove it"),
    "a folder as an image": (
        lambda pets: (pets / "test/bee/0.png").unlink() or (pets / "test/bee/0.png").mkdir(),
        r"test: class 'bee' has no image; add some",
    ),
}

CLASSES: dict[str, tuple[Change, str]] = {
    "one image": (
        lambda pets: [file.unlink() for file in (pets / "ant").iterdir() if file.name != "0.png"],
        r"class 'ant' has one image; training and test part need one each: add images, or delete the folder",
    ),
    "one class": (remove("bee"), r"at least two class folders are needed, found only 'ant'"),
    "classes that differ by case": (
        lambda pets: shutil.copytree(pets / "ant", pets / "Ant"),
        r"pets: 'Ant' and 'ant' differ only by case; rename one",
    ),
    "classes of folders": (
        rename(
            ("ant/0.png", "ant/red/0.png"),
            ("ant/1.png", "ant/red/1.png"),
            ("ant/2.png", "ant/red/2.png"),
            ("bee/0.png", "bee/wild/0.png"),
            ("bee/1.png", "bee/wild/1.png"),
            ("bee/2.png", "bee/wild/2.png"),
        ),
        r"its folders \(ant, bee\) hold folders and no images; call parts train and test",
    ),
    "parts as classes": (
        rename(("ant", "Training"), ("bee", "Testing")),
        r"Training/ and Testing/ hold no class folders; put the images into Training/<class>/ and Testing/<class>/",
    ),
    "parts as classes beside another": (
        lambda pets: (shutil.copytree(pets / "ant", pets / "train"), shutil.copytree(pets / "bee", pets / "val")),
        r"train/ and val/ hold no class folders",
    ),
    "a class that is called like a part and holds folders": (
        lambda pets: (pets / "ant" / "deep").mkdir() or rename(("ant", "train"))(pets),
        r"has train/<class>/ but no test/<class>/; add it, .*\(if 'train' is a class, move its images out",
    ),
    "a loop": (link("bee/up", ".."), BACK.format("bee/up")),
}


@pytest.mark.parametrize(
    ("layout", "kind"), [("parts", kind) for kind in PARTS] + [("classes", kind) for kind in CLASSES]
)
def test_a_folder_that_cannot_be_used_gives_one_line(layout: str, kind: str, tmp_path: Path) -> None:
    change, message = (PARTS if layout == "parts" else CLASSES)[kind]
    if layout == "parts":
        write_parts(tmp_path / "pets")
    else:
        write_classes(tmp_path / "pets", 3, names=("ant", "bee"))
    change(tmp_path / "pets")
    assert_refused(tmp_path, message)


def test_a_folder_that_may_not_be_read_gives_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parts(tmp_path / "pets")
    scan = os.scandir

    def refuse(folder: str) -> object:
        if str(folder).endswith("bee"):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert_refused(tmp_path, r"train/bee cannot be read \(Permission denied\); make it a readable folder")
