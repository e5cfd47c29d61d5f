"""Image files as pixels: 8 bits per channel, upright, in RGB; or their exact pixels."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
import simplejpeg
from PIL import Image, ImageFile, UnidentifiedImageError

from linconv.config.errors import explain_unreadable
from linconv.data.errors import DataError
from linconv.data.walk import shown

# Others that Pillow knows run programs (EPS) or are no images of a data set; a wrong ending is no harm.
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
LOSSLESS = ("PNG", "WEBP")
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_rgb(file: str | os.PathLike[str], *, upright: bool = True) -> np.ndarray:
    """An image of 8 bits per channel, uint8 (h, w, 3).

    simplejpeg decodes plain JPEG files: the library below is Pillow's, the time is less. Pillow decodes all others.

    Args:
        upright: turn it as its EXIF orientation says.

    Raises:
        DataError, Exception: as `open_image`.
    """
    content = Path(file).read_bytes()
    if _is_plain_jpeg(content, upright=upright):
        return simplejpeg.decode_jpeg(content, colorspace="RGB")
    image = open_image(BytesIO(content), upright=upright)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _is_plain_jpeg(content: bytes, *, upright: bool) -> bool:
    """Whether it is a gray or color JPEG file that is not to be turned; no pixel is read."""
    if not content.startswith(b"\xff\xd8"):
        return False
    with suppress(ValueError):  # Pillow says what is wrong with it
        if not upright or not _has_metadata(content):
            return simplejpeg.decode_jpeg_header(content)[2] in ("Gray", "YCbCr", "RGB")
    with Image.open(BytesIO(content), formats=FORMATS) as header:
        turned = upright and _orientation(header) in UPRIGHT
        return header.format == "JPEG" and header.mode in ("L", "RGB") and not turned


def _has_metadata(content: bytes) -> bool:
    """Whether a JPEG file may say how it is to be turned: it has EXIF or XMP data, or its segments are damaged.

    To ask Pillow takes as long as a tenth of the decoding.
    """
    at = 2
    while content[at : at + 1] == b"\xff" and (marker := content[at + 1 : at + 2]) != b"\xda":  # start of the scan
        if marker == b"\xe1":  # APP1
            return True
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return content[at : at + 2] != b"\xff\xda"


def open_image(
    file: str | os.PathLike[str] | IO[bytes], *, upright: bool = True, formats: tuple[str, ...] = FORMATS
) -> Image.Image:
    """An image of 8 bits per channel, decoded.

    Args:
        upright: turn it as its EXIF orientation says.

    Raises:
        DataError: it has more than 8 bits per channel, which would be cut off; the message has no path.
        Exception: whatever Pillow raises where it cannot be decoded.
    """
    with Image.open(file, formats=formats) as image:
        assert isinstance(image, ImageFile.ImageFile)  # as all that comes from a file
        depth = _depth(image)
        if depth:
            raise DataError(f"{depth}, not 8 bits per channel")
        image.load()
        turn = UPRIGHT.get(_orientation(image)) if upright else None
        return image if turn is None else image.transpose(turn)


def _depth(image: ImageFile.ImageFile) -> str | None:
    """What is deeper than 8 bits; Pillow itself would cut it off without a word."""
    if image.mode not in MODES:
        return f"mode {image.mode}"
    for tile in image.tile:
        words = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        # "RGB;16B" are 16 bits per channel, "BGR;16" are 16 bits per pixel; "ppm" has the largest value
        if any(isinstance(word, str) and re.search(r";(16|32)[A-Z]", word) for word in words):
            return "more than 8 bits"
        if tile.codec_name.startswith("ppm") and any(isinstance(word, int) and word > 255 for word in words):
            return f"values up to {max(word for word in words if isinstance(word, int))}"
    return None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged metadata of a sound image
        return 1


def read_pixels(file: str, channels: int) -> np.ndarray:
    """The pixels of a PNG or lossless WebP file, uint8 (h, w, channels); nothing is rounded or turned.

    Gray (1 channel) of a colored file is its red channel, where red, green and blue are equal.

    Raises:
        DataError: it cannot be decoded, is lossy or has more than 8 bits, color that is wanted gray, or transparency.
    """
    if file.lower().endswith(".webp"):
        with Path(file).open("rb") as stream:
            head = stream.read(16)
        if head[12:16] != b"VP8L":
            raise DataError(f"{shown(file)} is not a plain lossless WebP file; save it losslessly")
    try:
        image = open_image(file, upright=False, formats=LOSSLESS)
        pixels = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGBA"))
    except Exception as error:  # a damaged file makes a decoder raise anything, SyntaxError included
        raise undecodable(file, error) from None
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], channels, axis=2)
    if pixels.shape[2] == 4:
        if (pixels[:, :, 3] != 255).any():
            raise DataError(f"{shown(file)} has transparent pixels; replace it by a copy without transparency")
        pixels = pixels[:, :, :3]
    if channels == 1:
        if (pixels != pixels[:, :, :1]).any():
            raise DataError(f"{shown(file)} has colors, and the data set is gray; replace it")
        return pixels[:, :, :1]
    return pixels


def undecodable(file: str, error: Exception) -> DataError:
    """The error of a file that the system does not give, or that is no image that can be used."""
    if isinstance(error, DataError):
        return DataError(f"{shown(file)} has {error}; replace it by an 8-bit copy")
    if isinstance(error, OSError) and error.errno:  # of the system; Pillow's own have no number
        return DataError(f"{shown(file)} {explain_unreadable(error)}")
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):  # whose text names a buffer
        with suppress(OSError):
            reason = "it is no image of a known format" if Path(file).stat().st_size else "it is empty"
    return DataError(f"{shown(file)} cannot be decoded ({shown(reason)}); replace or delete it")
