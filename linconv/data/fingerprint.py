"""What must be alike: the data of processes that share batches, and those that an interrupted run goes on with."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from torch import Tensor

from linconv.data.dataset import Arrays, Dataset
from linconv.data.errors import DataError
from linconv.data.pixels import undecodable
from linconv.data.sources import ImageFiles, Images

READ = 1000  # files of a part that are read whole: all of ImageNet would take as long as an epoch


def data_digest(name: str, arrays: Arrays) -> str:
    """16 hexadecimal digits that change with the images of a data set, their labels and their order.

    Of images in files these are the names below their common folder, the sizes, and the content of `READ` files of
    each part, spread evenly: the same whether the images are streamed or in memory, and wherever a copy of them lies.
    A copy may have other times, so these do not count.

    Args:
        name: of the data set, for messages.
        arrays: what its loader gave, before anything is decoded or split.

    Raises:
        DataError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for images, labels in ((arrays.train_images, arrays.train_labels), (arrays.test_images, arrays.test_labels)):
        digest.update(labels.numpy().tobytes())
        if isinstance(images, Tensor):
            digest.update(np.ascontiguousarray(images.numpy()).data)
        else:
            digest.update(_files(name, images))
    return digest.hexdigest()[:16]


def _files(name: str, files: ImageFiles) -> bytes:
    found = hashlib.sha256(_names(files))
    step = -(-len(files) // READ)
    for number, path in enumerate(map(os.fsdecode, files.paths)):
        file = Path(path)
        try:
            found.update(f"{file.stat().st_size}\n".encode())
            if number % step == 0:
                found.update(file.read_bytes())
        except OSError as error:
            raise DataError(f"data set '{name}': {undecodable(path, error)}") from None
    return found.digest()


def data_facts(data: Dataset) -> dict[str, str]:
    """The numbers of images, where they come from, and a digest of all images and labels in their order.

    Of images that are streamed, the digest has the names of the files below their common folder, not the pixels.
    """
    content = data.content
    digest = hashlib.sha256(content.model_dump_json().encode())
    digest.update(data.test_order.numpy().tobytes())
    counts = {}
    for name, images, labels in (
        ("training images", data.train_images, data.train_labels),
        ("validation images", data.validation_images, data.validation_labels),
        ("test images", data.test_images, data.test_labels),
    ):
        counts[name] = "0" if labels is None else str(len(labels))
        if images is not None and labels is not None:
            digest.update(_in_order(images))
            digest.update(labels.cpu().numpy().tobytes())
    origin = {"container of the data": content.container, "decoder of the images": content.decoder}
    return counts | origin | {"data (digest)": digest.hexdigest()[:16]}


def _in_order(images: Images) -> bytes:
    """Another for other images in memory (by the sum of their pixels), for other names of files, and in another order.

    The digests of `content` find what leaves the sums of pixels alone, but not another order.
    """
    if isinstance(images, Tensor):
        return images.sum(dim=(1, 2, 3)).cpu().numpy().tobytes()
    return _names(images.files)


def _names(files: ImageFiles) -> bytes:
    """The names of files below their common folder, in their order."""
    paths = files.paths.tolist()
    folder = os.fsencode(os.path.commonpath([Path(os.fsdecode(path)).parent for path in (min(paths), max(paths))]))
    return b"\0".join(path[len(folder) :] for path in paths)
