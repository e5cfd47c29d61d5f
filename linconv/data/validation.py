"""A part of the training images held out for choosing anything that is chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from linconv.config.folders import ValidationOptions
from linconv.data.dataset import Dataset
from linconv.data.errors import DataError
from linconv.data.sources import subset


def hold_out(data: Dataset, options: ValidationOptions) -> Dataset:
    """The data set with its validation part: `share` of every class, at least one image, leaving at least one.

    Which images these are depends on the labels and the seed alone, and in no class on another.

    Raises:
        DataError: a class has one image.
    """
    labels = data.train_labels.cpu().numpy()
    held = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        if len(own) < 2:
            raise DataError(
                f"class {label} has one training image, and the validation part needs one too; add images, or leave "
                "out validation"
            )
        count = min(max(1, round(options.share * len(own))), len(own) - 1)
        # RandomState's stream is frozen by numpy: the same images on every machine
        held.append(own[np.random.RandomState([options.seed, label]).permutation(len(own))[:count]])
    mask = torch.zeros(len(labels), dtype=torch.bool, device="cpu")
    mask[torch.from_numpy(np.concatenate(held))] = True
    chosen, rest = (part.nonzero().squeeze(1).to(data.train_labels.device) for part in (mask, ~mask))
    return replace(
        data,
        train_images=subset(data.train_images, rest),
        train_labels=data.train_labels[rest],
        validation_images=subset(data.train_images, chosen),
        validation_labels=data.train_labels[chosen],
    )
