"""The networks that are measured: freshly initialized, and of a pruned variant what pruning leaves."""

from __future__ import annotations

import torch
from torch import nn

from linconv.config import Variant
from linconv.models import build_model
from linconv.pruning import pruned_network


def measured_network(
    architecture: str,
    definition: Variant,
    *,
    input_shape: tuple[int, int, int],
    classes: int,
    device: str,
    channels_last: bool,
) -> nn.Module:
    """A network of a variant on a device and in a layout, with the same initial values whenever it is built.

    Of a pruned variant it is the smaller network, from the first step on: a training step of it is one after the
    pruning step, and what a criterion adds to the steps before is in none.

    Args:
        input_shape: of one image, (c, h, w).

    Raises:
        UserError: the variant is pruned, and the network cannot be.
    """
    torch.manual_seed(0)
    model = build_model(architecture, definition, num_classes=classes, in_channels=input_shape[0])
    if definition.pruning is not None:
        model = pruned_network(model, input_shape, definition.pruning.params)
    return model.to(device).to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
