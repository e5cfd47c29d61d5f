"""New splits of a data set: all its images, drawn anew into a training and a test part of the same sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from linconv.data.content import canonical_order, part_hashes
from linconv.data.dataset import Arrays
from linconv.data.errors import DataError


def resplit(name: str, arrays: Arrays, split: int) -> Arrays:
    """Split number `split` of all images of a data set; every class keeps its numbers of training and test images.

    The test images of a class are the first of `numpy.random.RandomState([split, label])`'s permutation of its images,
    sorted by their hashes (`linconv.data.content`): the same split on every machine and from every container.

    Args:
        name: of the data set, for messages.
        arrays: the data set's own parts, in memory.
        split: 1 or above.

    Raises:
        DataError: the images are streamed, so that they have no hashes.
    """
    train, test = arrays.train_images, arrays.test_images
    if not (isinstance(train, Tensor) and isinstance(test, Tensor)):
        raise DataError(
            f"data set '{name}': its images are streamed, and a new split needs them in memory; leave all but 0 out of "
            "splits, or set stream: false for a folder of images"
        )
    images, labels = torch.cat([train, test]), torch.cat([arrays.train_labels, arrays.test_labels])
    hashes = np.concatenate([own for own in part_hashes(arrays, (train, test)) if own is not None])
    order = canonical_order(hashes).numpy()
    sorted_labels = labels.numpy()[order]
    tested = np.zeros(len(order), dtype=bool)
    for label, count in enumerate(torch.bincount(arrays.test_labels).tolist()):
        own = np.flatnonzero(sorted_labels == label)
        # RandomState's stream is frozen by numpy
        tested[own[np.random.RandomState([split, label]).permutation(len(own))[:count]]] = True
    parts = order[~tested], order[tested]
    origin = replace(arrays.origin, hashes=(hashes[parts[0]], hashes[parts[1]]))
    trained, held = map(torch.from_numpy, parts)
    return Arrays(images[trained], labels[trained], images[held], labels[held], origin)
