"""What processes that take shares of the same batches must have alike."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from torch import Tensor

from linconv.data.dataset import Dataset
from linconv.data.sources import Images


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
    paths = images.files.paths.tolist()
    folder = os.fsencode(os.path.commonpath([Path(os.fsdecode(path)).parent for path in (min(paths), max(paths))]))
    return b"\0".join(path[len(folder) :] for path in paths)
