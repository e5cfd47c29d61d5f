"""Mirrored convolution: half of the filters are learned, the others are their mirror images."""

import torch
from torch import nn

from linconv.layers import ConvReplacement, Factory, UnsupportedConvError


class MirroredConv2d(ConvReplacement):
    """W = [V; flip(V)]: N / 2 filters V and their mirror images, left to right; N D / 2 parameters.

    Args:
        vertical: mirror top to bottom instead.

    Raises:
        UnsupportedConvError: an odd number of filters, or groups > 1.
    """

    scaled = ("learned",)

    def build(self, factory: Factory, *, vertical: bool = False):
        self.refuse_groups()
        if self.out_channels % 2:
            raise UnsupportedConvError(f"{self.out_channels} filters cannot be halved")
        self.axis = -2 if vertical else -1
        self.learned = factory.parameter(self.out_channels // 2, *self.filter_shape)

    def reset_parameters(self):
        nn.init.kaiming_uniform_(self.learned, a=5**0.5)
        self.reset_bias()

    @property
    def weight(self):
        return torch.cat([self.learned, self.learned.flip(self.axis)])
