"""Image files that must not be used: what is done to a folder of sound ones, and the one line that it gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.image_folders import Change, assert_refused, cut, deep_png, write, write_parts


def image(name: str, mode: str = "RGB", value: object = 0, **options: object) -> Change:
    return lambda pets: Image.new(mode, (32, 32), value).save(pets / name, **options)  # type: ignore[arg-type]


def values(name: str, dtype: str, mode: str | None = None) -> Change:
    """A gray image of these values."""
    return lambda pets: Image.fromarray(np.arange(1024).reshape(32, 32).astype(dtype), mode).save(pets / name)


CUT_OFF = r"train/ant/9\.{} has {}, not 8 bits per channel; replace it by an 8-bit copy"
UNDECODABLE = r"train/ant/{} cannot be decoded \(.+\); replace or delete it"

IMAGES: dict[str, tuple[Change, str]] = {
    "16 bits, gray PNG": (values("train/ant/9.png", "uint16"), CUT_OFF.format("png", "mode I;16")),
    "16 bits, colored PNG": (deep_png("train/ant/9.png", 2, 3), CUT_OFF.format("png", "more than 8 bits")),
    "16 bits, PNG with transparency": (deep_png("train/ant/9.png", 6, 4), CUT_OFF.format("png", "more than 8 bits")),
    "16 bits, gray PNG with transparency": (
        deep_png("train/ant/9.png", 4, 2),
        CUT_OFF.format("png", "more than 8 bits"),
    ),
    "16 bits, TIFF": (values("train/ant/9.tif", "uint16"), CUT_OFF.format("tif", "mode I;16")),
    "32 bits, TIFF": (values("train/ant/9.tiff", "int32"), CUT_OFF.format("tiff", "mode I")),
    "floats, TIFF": (values("train/ant/9.tif", "float32"), CUT_OFF.format("tif", "mode F")),
    "16 bits, gray PGM": (
        write("train/ant/9.pgm", b"P5 2 2 65535\n" + bytes(8)),
        CUT_OFF.format("pgm", "mode I"),
    ),
    "12 bits, colored PPM": (
        write("train/ant/9.ppm", b"P6 2 2 4095\n" + bytes(24)),
        CUT_OFF.format("ppm", "values up to 4095"),
    ),
    "zero bytes": (write("train/ant/9.png", b""), r"9\.png cannot be decoded \(it is empty\); replace or delete it"),
    "zero bytes, called JPEG": (write("train/ant/9.jpg", b""), r"9\.jpg cannot be decoded \(it is empty\); replace"),
    "a page of text": (
        write("train/ant/9.png", b"<html></html>"),
        r"9\.png cannot be decoded \(it is no image of a known format\); replace or delete it",
    ),
    "PostScript, which Pillow would run": (
        write("train/ant/9.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"),
        UNDECODABLE.format(r"9\.png"),
    ),
    "a cut PNG": (cut("train/ant/0.png", 1500), UNDECODABLE.format(r"0\.png")),
    "a cut JPEG": (
        lambda pets: (image("train/ant/9.jpg")(pets), cut("train/ant/9.jpg", 500)(pets)),
        UNDECODABLE.format(r"9\.jpg"),
    ),
    "a cut WebP": (
        lambda pets: (image("train/ant/9.webp", lossless=True)(pets), cut("train/ant/9.webp", 30)(pets)),
        UNDECODABLE.format(r"9\.webp"),
    ),
    "a bomb": (
        write("train/ant/9.pgm", b"P5 40000 40000 255\n"),
        UNDECODABLE.format(r"9\.pgm"),
    ),
    "black on transparency": (
        lambda pets: [
            Image.new("RGBA", (32, 32), (0, 0, 0, k)).save(file)
            for k, file in enumerate((pets / "train").rglob("*.png"))
        ],
        r"one value in all training images \(transparency is not read\); give mean and std, or replace the files",
    ),
}


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.filterwarnings("ignore:.*decompression bomb")
def test_an_image_that_cannot_be_used_gives_one_line(kind: str, stream: bool, tmp_path: Path) -> None:
    change, message = IMAGES[kind]
    write_parts(tmp_path / "pets")
    change(tmp_path / "pets")
    assert_refused(tmp_path, message, stream=stream)
