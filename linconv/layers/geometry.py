"""The geometry that a plain convolution and its replacements share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from linconv.layers.replacement import ConvReplacement


def conv2d_output_size(conv: nn.Conv2d | ConvReplacement, input_size: tuple[int, int] | torch.Size) -> tuple[int, int]:
    """Height and width of a convolution's output for an input of that height and width."""
    if conv.padding == "same":
        return input_size[0], input_size[1]
    padding = (0, 0) if isinstance(conv.padding, str) else conv.padding
    sizes = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, p, d, k, s in zip(input_size, padding, conv.dilation, conv.kernel_size, conv.stride, strict=True)
    ]
    return sizes[0], sizes[1]


def geometry(conv: nn.Conv2d | ConvReplacement) -> dict[str, Any]:
    """The arguments of `nn.Conv2d` that both layers share."""
    names = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
    )
    return {name: getattr(conv, name) for name in names}


def in_channels_last(maps: Tensor) -> bool:
    """Whether the channels of (n, c, h, w) lie next to each other, and not the rows as well; False under vmap."""
    if torch._C._functorch.is_batchedtensor(maps):  # refuses to tell its layout
        return False
    return maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
