"""Spatial convolution: filters one pixel wide beside filters one pixel high.

Source: Y. Ioannou, D. Robertson, J. Shotton, R. Cipolla, A. Criminisi, "Training CNNs with Low-Rank Filters for
Efficient Image Classification", ICLR 2016.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.config.rules import share_of
from linconv.layers import ConvReplacement, Factory, Share, Stage, UnsupportedConvError


class SpatialConv2d(ConvReplacement):
    """W = [V; H]: V of N/2 filters kh x 1, H of N/2 filters 1 x kw, zero elsewhere; c N k parameters, not c N k^2.

    The line of a filter is the kernel's middle, the lower of the two middles where the size is even.

    Args:
        vertical: the share of the N filters that are kh x 1; at least one filter is of each kind.

    Raises:
        UnsupportedConvError: groups > 1, a kernel with a side of 1, or a single filter.
    """

    forms = ("feature",)

    def build(self, factory: Factory, *, vertical: Share = 0.5) -> None:
        self.refuse_groups()
        height, width = self.kernel_size
        if min(height, width) == 1:
            raise UnsupportedConvError(f"a {height}x{width} kernel is one pixel wide already")
        if self.out_channels < 2:
            raise UnsupportedConvError("one filter cannot be both vertical and horizontal")
        first = min(self.out_channels - 1, max(1, share_of(vertical, self.out_channels)))
        self.vertical = factory.parameter(first, self.in_channels, height, 1)
        self.horizontal = factory.parameter(self.out_channels - first, self.in_channels, 1, width)

    def reset_parameters(self) -> None:
        # the fan-in of what is not zero: outputs have the variance that nn.Conv2d's initialization gives them
        nn.init.kaiming_uniform_(self.vertical, a=math.sqrt(5))
        nn.init.kaiming_uniform_(self.horizontal, a=math.sqrt(5))
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        padding = self.pad_widths
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, padding, mode=self.padding_mode), [0, 0, 0, 0]
        left, right, top, bottom = padding
        rows, columns = self._margins()
        first = self.vertical.shape[0]
        upper, lower = (None, None) if self.bias is None else (self.bias[:first], self.bias[first:])
        beside = (left - columns[0], right - columns[1], top, bottom)
        above = (left, right, top - rows[0], bottom - rows[1])
        vertical = self._line(input, self.vertical, upper, beside)
        horizontal = self._line(input, self.horizontal, lower, above)
        return torch.cat([vertical, horizontal], dim=-3)

    def _line(self, input: Tensor, filters: Tensor, bias: Tensor | None, padding: tuple[int, int, int, int]) -> Tensor:
        """A convolution with so many zeros on the left, right, top and bottom; negative values cut the input."""
        left, right, top, bottom = padding
        if left == right >= 0 and top == bottom >= 0:
            return F.conv2d(input, filters, bias, self.stride, (top, left), self.dilation)
        return F.conv2d(F.pad(input, padding), filters, bias, self.stride, 0, self.dilation)

    def _margins(self) -> list[tuple[int, int]]:
        """The pixels that the full kernel reaches over and a line in its middle does not, before and after it."""
        return [
            (d * ((k - 1) // 2), d * (k - 1 - (k - 1) // 2))
            for k, d in zip(self.kernel_size, self.dilation, strict=True)
        ]

    @property
    def weight(self) -> Tensor:
        above, beside = ((k - 1) // 2 for k in self.kernel_size)
        below, after = self.kernel_size[0] - 1 - above, self.kernel_size[1] - 1 - beside
        return torch.cat([F.pad(self.vertical, (beside, after)), F.pad(self.horizontal, (0, 0, above, below))])

    def match_(self, conv: nn.Conv2d) -> None:
        for filters, side in ((self.vertical, self.kernel_size[1]), (self.horizontal, self.kernel_size[0])):
            drawn = float(filters.square().mean().sqrt()) / math.sqrt(side)  # zeros included
            self.rescale_(drawn, float(conv.weight.std()), filters)

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return (
            Stage(self.vertical.numel() * pixels, reads_input=True),
            Stage(self.horizontal.numel() * pixels, reads_input=True),
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, vertical={self.vertical.shape[0]}"
