"""Batch normalization inside a layer, with an error that names the layer."""

from __future__ import annotations

import math

from torch import Tensor, nn


def normalized(layer: nn.Module, norm: nn.Module, features: Tensor) -> Tensor:
    """norm(features), for the feature maps (B, C, h, w) of a layer.

    Raises:
        ValueError: in training there is one value per channel, which has no variance.
    """
    try:
        output: Tensor = norm(features)
    except ValueError as error:
        if features.shape[0] * math.prod(features.shape[2:]) != 1:
            raise
        raise ValueError(
            f"{type(layer).__name__}({layer.extra_repr()}) normalizes over the batch, and in training one image of one "
            "pixel has no variance: give it two images or more, call eval(), or leave the layer out of `convert` "
            "(exclude)"
        ) from error
    return output
