"""Pixels of image files: two decoders, the same result."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from linconv.data import DataError
from linconv.data.pixels import decode_rgb, read_pixels, undecodable


@pytest.fixture
def scene() -> Image.Image:
    coarse = np.random.RandomState(0).randint(0, 256, (9, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((61, 83))


SAVED = {
    "plain": {},
    "fine": {"quality": 95, "subsampling": 0},
    "halved": {"subsampling": 2},
    "progressive": {"progressive": True},
}


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("saved", SAVED)
def test_a_jpeg_file_has_the_pixels_that_pillow_decodes(
    saved: str, mode: str, scene: Image.Image, tmp_path: Path
) -> None:
    file = tmp_path / "x.jpg"
    scene.convert(mode).save(file, **SAVED[saved])
    pixels = decode_rgb(file)
    assert pixels.shape == (83, 61, 3)
    assert np.array_equal(pixels, np.array(Image.open(file).convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_file_is_upright_where_wanted(orientation: int, scene: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    scene.save(tmp_path / "x.jpg", exif=exif)
    stored = Image.open(tmp_path / "x.jpg")
    assert np.array_equal(decode_rgb(tmp_path / "x.jpg", upright=False), np.array(stored))
    assert np.array_equal(decode_rgb(tmp_path / "x.jpg"), np.array(ImageOps.exif_transpose(stored)))


def test_an_orientation_in_xmp_data_counts_too(scene: Image.Image, tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    scene.save(tmp_path / "x.jpg", xmp=xmp)
    assert decode_rgb(tmp_path / "x.jpg").shape[:2] == scene.size
    assert decode_rgb(tmp_path / "x.jpg", upright=False).shape[:2] == scene.size[::-1]


@pytest.mark.parametrize("cut", [2, 3, 4, 5, 20, 21])
def test_a_jpeg_file_that_ends_in_its_header_is_refused(cut: int, scene: Image.Image, tmp_path: Path) -> None:
    scene.save(tmp_path / "x.jpg")
    (tmp_path / "x.jpg").write_bytes((tmp_path / "x.jpg").read_bytes()[:cut])
    with pytest.raises((OSError, SyntaxError)):
        decode_rgb(tmp_path / "x.jpg")


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9, 0.999])
def test_a_truncated_jpeg_file_is_refused(kept: float, scene: Image.Image, tmp_path: Path) -> None:
    file = tmp_path / "x.jpg"
    scene.save(file)
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises((OSError, ValueError)):
        decode_rgb(file)


def test_an_image_that_the_system_does_not_give_need_not_be_replaced(tmp_path: Path) -> None:
    error = OSError(errno.EIO, "Input/output error")
    assert str(undecodable("x.png", error)) == (
        "x.png cannot be read (Input/output error); check the disk and its connection, then the same command continues"
    )
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"cannot be decoded .*; replace or delete it"):
        read_pixels(str(tmp_path / "x.png"), 3)


@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.tif", "x.mpo", "x.gif"])
def test_the_first_image_of_several_is_read(name: str, tmp_path: Path) -> None:
    first, other = (Image.new("RGB", (32, 32), color) for color in ("red", "blue"))
    first.save(tmp_path / name, save_all=True, append_images=[other])
    assert Image.open(tmp_path / name).n_frames == 2
    assert np.allclose(decode_rgb(tmp_path / name), (255, 0, 0), atol=3)
