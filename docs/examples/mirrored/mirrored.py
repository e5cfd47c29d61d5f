"""Mirrored convolution: half of the filters are learned, the others are their mirror images."""

import torch
from torch import nn

from linconv.layers import ConvReplacement, RefusedError, Stage


class MirroredConv2d(ConvReplacement):
    """W = [V; flip(V)]: N / 2 filters V and their mirror images, left to right; N D / 2 parameters.

    Args:
        vertical: mirror top to bottom instead.

    Raises:
        RefusedError: an odd number of filters, or groups > 1.
    """

    scaled = "learned"

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
        padding_mode="zeros", device=None, dtype=None, *, vertical=False,
    ):  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self._refuse_groups(groups)
        if out_channels % 2:
            raise RefusedError(f"{out_channels} filters cannot be halved")
        self.axis = -2 if vertical else -1
        self.learned = nn.Parameter(torch.empty(out_channels // 2, *self._filter_shape, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.kaiming_uniform_(self.learned, a=5**0.5)
        self._reset_bias()

    @property
    def weight(self):
        return torch.cat([self.learned, self.learned.flip(self.axis)])

    def forward(self, input):
        return self._conv(input, self.weight, self.bias)

    def stages(self, pixels, input_pixels):
        return (Stage(self.out_channels * self.filter_size * pixels, reads_input=True),)
