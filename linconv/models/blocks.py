"""What the architectures share: the type of the injected convolution, widths, and the projection shortcut."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

# Anything with the signature of nn.Conv2d: the class itself, LinearConv2d, or a functools.partial of either.
ConvFactory = Callable[..., nn.Module]


def scaled(channels: int, width: float) -> int:
    """A number of channels multiplied by a width, rounded, at least 1."""
    return max(1, round(channels * width))


def projection(conv: ConvFactory, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """A 1x1 convolution and batch norm, for a shortcut around a block that changes the shape."""
    return nn.Sequential(
        OrderedDict(
            conv=conv(in_channels, out_channels, 1, stride=stride, bias=False),
            bn=nn.BatchNorm2d(out_channels),
        )
    )
