"""Versatile filters: every primary filter gives further, secondary filters, each the primary one under a binary mask.

Source: Y. Wang, C. Xu, C. Xu, C. Xu, D. Tao, "Learning Versatile Filters for Efficient Convolutional Neural Networks",
NeurIPS 2018. The masks are those of the paper: nested squares of the kernel, and windows of channels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.layers import ConvReplacement, Count, Factory, Stage, UnsupportedConvError
from linconv.layers.geometry import in_layout_of


class _Mask(NamedTuple):
    """Keeps channels `first` to `last` - 1, and the kernel without `border` pixels on every side, of `rows` filters."""

    rows: int
    border: int
    first: int
    last: int


class VersatileConv2d(ConvReplacement):
    """W[n] = mask_j o F[p]: P = ceil(N / (s t)) filters F (P, c, kh, kw) under s t masks; P D parameters.

    The s = ceil(min(kh, kw) / 2) spatial masks leave out 0, 1, ... pixels on every side of the kernel. The t channel
    masks keep windows of c - (t - 1) g channels, each g further than the one before. Mask (i, j) gives the filters
    from P (i t + j) on; the last mask gives fewer where s t does not divide N. It runs as one convolution for every
    mask, of the values that the mask keeps.

    Args:
        channel_windows: t, at least 1.
        channel_stride: g, at least 1.

    Raises:
        UnsupportedConvError: groups > 1, a single mask, a single filter, or fewer channels than the windows need.
    """

    forms = ("feature",)
    scaled = ("filters",)
    inits = ("matched",)
    fits = ("least_squares",)

    def build(
        self, factory: Factory, *, channel_windows: Count = 1, channel_stride: Count = 1, init: str = "matched"
    ) -> None:
        self.refuse_groups()
        height, width = self.kernel_size
        masks = -(-min(height, width) // 2) * channel_windows
        channels = self.in_channels - (channel_windows - 1) * channel_stride
        if masks == 1:
            raise UnsupportedConvError(f"a {height}x{width} kernel and one channel window leave one mask")
        if self.out_channels == 1:
            raise UnsupportedConvError("one filter has no secondary ones")
        if channels < 1:
            raise UnsupportedConvError(
                f"{channel_windows} windows of channels, {channel_stride} apart, need more than {self.in_channels}"
            )
        self.filters = factory.parameter(-(-self.out_channels // masks), *self.filter_shape)
        kinds = itertools.product(range(masks // channel_windows), range(channel_windows))
        firsts = range(0, self.out_channels, len(self.filters))  # the first filter of every mask
        self.masks = [
            _Mask(min(len(self.filters), self.out_channels - n), i, j * channel_stride, j * channel_stride + channels)
            for (i, j), n in zip(kinds, firsts, strict=False)
        ]

    def reset_parameters(self) -> None:
        # the mean variance of W, zeros included, is nn.Conv2d's 1 / (3 D)
        kept = sum(mask.rows * self._size(mask) for mask in self.masks) / self.out_channels
        nn.init.uniform_(self.filters, -1 / math.sqrt(kept), 1 / math.sqrt(kept))
        self.reset_bias()

    def _size(self, mask: _Mask) -> int:
        """The values of one filter that a mask keeps."""
        height, width = (side - 2 * mask.border for side in self.kernel_size)
        return (mask.last - mask.first) * height * width

    def _masked(self) -> Iterator[tuple[_Mask, Tensor]]:
        """The values that every mask keeps, (rows, last - first, kh - 2 border, kw - 2 border)."""
        height, width = self.kernel_size
        for mask in self.masks:
            rows, columns = slice(mask.border, height - mask.border), slice(mask.border, width - mask.border)
            yield mask, self.filters[: mask.rows, mask.first : mask.last, rows, columns]

    def forward(self, input: Tensor) -> Tensor:
        # a smaller kernel sees the same centers where the padded input is cut by the border that the mask leaves out
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        padded = in_layout_of(input, F.pad(input, self.pad_widths, mode=mode)) if any(self.pad_widths) else input
        outputs = []
        for mask, kept in self._masked():
            top, left = (mask.border * step for step in self.dilation)
            seen = padded.narrow(-3, mask.first, mask.last - mask.first)
            seen = seen[..., top : seen.shape[-2] - top, left : seen.shape[-1] - left]
            outputs.append(F.conv2d(seen, kept, None, self.stride, 0, self.dilation))
        output = in_layout_of(input, torch.cat(outputs, dim=-3))
        # under autocast the bias is wider than the features and would widen them
        return output if self.bias is None else output + self.bias.to(output.dtype)[:, None, None]

    @property
    def weight(self) -> Tensor:
        around = ((m.border,) * 4 + (m.first, self.in_channels - m.last) for m in self.masks)
        return torch.cat([F.pad(kept, pad) for (_, kept), pad in zip(self._masked(), around, strict=True)])

    @property
    def basis(self) -> Tensor:
        return self.filters

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return tuple(Stage(mask.rows * self._size(mask) * pixels, reads_input=True) for mask in self.masks)

    def fit_(self, conv: nn.Conv2d, init: str) -> None:
        # every value is the mean of those that it stands for
        total, count = torch.zeros_like(self.filters), torch.zeros_like(self.filters)
        given = conv.weight.split([mask.rows for mask in self.masks])
        for filters, mask in zip(given, self.masks, strict=True):
            height, width = self.kernel_size
            rows, columns = slice(mask.border, height - mask.border), slice(mask.border, width - mask.border)
            place = (slice(mask.rows), slice(mask.first, mask.last), rows, columns)
            total[place] += filters[:, mask.first : mask.last, rows, columns]
            count[place] += 1
        self.filters.copy_(total / count.clamp(min=1))
        if self.bias is not None and conv.bias is not None:
            self.bias.copy_(conv.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, primaries={len(self.filters)}, masks={len(self.masks)}"
