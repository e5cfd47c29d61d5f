"""The geometry and the memory layout that a plain convolution and its replacements share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def conv2d_output_size(conv: Any, input_size: tuple[int, int] | torch.Size) -> tuple[int, int]:
    """Height and width of a convolution's output for an input of that height and width; any layer like `nn.Conv2d`."""
    if conv.padding == "same":
        return input_size[0], input_size[1]
    padding = (0, 0) if isinstance(conv.padding, str) else conv.padding
    sizes = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, p, d, k, s in zip(input_size, padding, conv.dilation, conv.kernel_size, conv.stride, strict=True)
    ]
    return sizes[0], sizes[1]


def geometry(conv: Any) -> dict[str, Any]:
    """The arguments of `nn.Conv2d` that say the shape of a layer like it; `bias`, `device` and `dtype` are left out."""
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


def contradiction(conv: nn.Conv2d) -> str | None:
    """Where the filters, the bias or the padding of a convolution are not what its arguments say; None if they are.

    Such a convolution runs, for `nn.Conv2d` reads its filters alone, and a layer with its arguments would not.
    """
    if conv.weight is None or nn.parameter.is_lazy(conv.weight):
        return "it has no filters yet"
    plain = nn.Conv2d(**geometry(conv), bias=conv.bias is not None, device="meta")
    for name in ("weight", "bias"):
        given, said = getattr(conv, name), getattr(plain, name)
        if said is not None and given.shape != said.shape:
            return f"its {name} has the shape {tuple(given.shape)}, and its arguments say {tuple(said.shape)}; set them"
    widths = "_reversed_padding_repeated_twice"  # which other paddings than zeros read
    if conv.padding_mode != "zeros" and list(getattr(conv, widths)) != list(getattr(plain, widths)):
        return "its padding was changed after it was made, and what it pads was not"
    return None


def in_channels_last(maps: Tensor) -> bool:
    """Whether the channels of (n, c, h, w) lie next to each other, and not the rows as well; False under vmap."""
    if torch._C._functorch.is_batchedtensor(maps):  # refuses to tell its layout
        return False
    return maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()


def in_layout_of(input: Tensor, output: Tensor) -> Tensor:
    """The output in the memory layout of the input, in which `nn.Conv2d` gives it."""
    return output.contiguous(memory_format=torch.channels_last) if in_channels_last(input) else output


def asks_for_channels_last(filters: Tensor) -> bool:
    """Whether the strides of a four-dimensional tensor are those that `.to(memory_format=torch.channels_last)` gives.

    Sizes of 1 count as well: filters (N, 1, kh, kw) lie in memory alike either way, and their strides still say how
    the layer was laid out.
    """
    if filters.dim() != 4:
        return False
    _, channels, height, width = filters.shape
    strides = (channels * height * width, 1, width * channels, channels)
    return filters.stride() == strides != (channels * height * width, height * width, width, 1)
