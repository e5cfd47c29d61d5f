"""Exact pixels of lossless image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from linconv.data.dataset import DataError

EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")


def read_pixels(file: Path, channels: int) -> np.ndarray:
    """The pixels of a PNG or lossless WebP file, uint8 (h, w, channels); nothing is rounded.

    Grey (1 channel) of a coloured file is its red channel, where red, green and blue are equal.

    Raises:
        DataError: it cannot be decoded, is lossy or has more than 8 bits, colour that is wanted grey, or transparency.
    """
    from PIL import Image

    if file.suffix.lower() == ".webp":
        with file.open("rb") as stream:
            head = stream.read(16)
        if head[12:16] != b"VP8L":
            raise DataError(f"{file} is not a plain lossless WebP file; save it losslessly")
    try:
        with Image.open(file, formats=("PNG", "WEBP")) as image:
            image.load()
            mode = image.mode
            if mode in EIGHT_BIT:
                pixels = np.asarray(image if mode in ("L", "RGB") else image.convert("RGBA"))
    except Exception as error:  # a damaged file makes a decoder raise anything, SyntaxError included
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file} cannot be decoded ({reason}); replace it") from None
    if mode not in EIGHT_BIT:
        raise DataError(f"{file} is of mode {mode}, not 8 bits per channel; replace it by an 8-bit copy")
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], channels, axis=2)
    if pixels.shape[2] == 4:
        if (pixels[:, :, 3] != 255).any():
            raise DataError(f"{file} has transparent pixels; replace it by a copy without transparency")
        pixels = pixels[:, :, :3]
    if channels == 1:
        if (pixels != pixels[:, :, :1]).any():
            raise DataError(f"{file} has colours, and the data set is grey; replace it")
        return pixels[:, :, :1]
    return pixels
