"""Octave convolution: some channels at full resolution, the others at half of it.

Source: Y. Chen, H. Fan, B. Xu, Z. Yan, Y. Kalantidis, M. Rohrbach, S. Yan, J. Feng, "Drop an Octave: Reducing Spatial
Redundancy in Convolutional Neural Networks With Octave Convolution", ICCV 2019.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.config.rules import share_of
from linconv.layers import ConvReplacement, Factory, Share, Stage, UnsupportedConvError
from linconv.layers.geometry import in_layout_of

IMAGE_CHANNELS = 4  # an input of so few channels is an image, which has no low-frequency channels


class OctConv2d(ConvReplacement):
    """Y_H = W_HH X_H + up(W_HL X_L), Y_L = W_LL X_L + W_LH pool(X_H); N D parameters, as plain.

    The last floor(alpha c) channels of the input are averaged over 2x2 pixels. The last floor(alpha N) channels of the
    output are computed at half resolution and repeated, so that the layer takes and gives what `nn.Conv2d` does. Where
    sizes are even, the averaging of the next layer undoes the repetition: a chain of these layers, with normalization
    and ReLU between them, computes what feature maps kept at two resolutions would. Max-pooling between the layers
    (base, VGG11) is different: the maximum of 2x2 repeated pixels is the pixel itself. The low-frequency channels go
    through the pooling unchanged and the next layer averages them, where a network with two resolutions would take
    their maximum. "reflect" and "circular" padding need feature maps larger than the padding at half resolution too.

    A strided layer averages its input and convolves at stride 1, as in the source. There the low-frequency channels
    have the resolution of the high-frequency outputs already, so W_HL convolves them where they are, without `up`. The
    source has strides 1 and 2; for others the same rule holds in each direction: `up` only where the stride is 1.

    Args:
        alpha: the share of low-frequency channels, in (0, 1). An input of up to 4 channels is an image, all of it
            high-frequency, as in the source's first layer.

    Raises:
        UnsupportedConvError: groups > 1, no low-frequency channel at all, or a padding that does not keep the size at
            stride 1, with which the two resolutions would drift apart.
    """

    folds = False
    forms = ("feature",)

    def build(self, factory: Factory, *, alpha: Share = 0.5) -> None:
        self.refuse_groups()
        left, right, top, bottom = self.pad_widths
        reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        if [top + bottom, left + right] != reach:
            raise UnsupportedConvError(
                f"padding {self.padding} does not keep the size of the map, as dilation * (kernel_size - 1) / 2 would"
            )
        self.in_low = 0 if self.in_channels <= IMAGE_CHANNELS else share_of(alpha, self.in_channels)
        self.out_low = share_of(alpha, self.out_channels)
        if self.in_low == self.out_low == 0:
            raise UnsupportedConvError(f"a share of {alpha} leaves no low-frequency channel among so few")
        self.filters = factory.parameter(self.out_channels, *self.filter_shape)

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.filters, a=math.sqrt(5))
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        full = input
        if self.stride != (1, 1):
            full = F.avg_pool2d(input, self.stride, ceil_mode=True)  # the size that the strided convolution gives
        half = F.avg_pool2d(full, 2, ceil_mode=True)
        in_high, out_high = self.in_channels - self.in_low, self.out_channels - self.out_low
        if self._up == (1, 1):
            high = self._same(full, self.filters[:out_high])
        else:
            # an autocast or bfloat16 convolution decides the dtype, so parts are added, not written into one tensor
            high = self._same(full.narrow(-3, 0, in_high), self.filters[:out_high, :in_high])
            if self.in_low:
                low = F.avg_pool2d(full.narrow(-3, in_high, self.in_low), self._up, ceil_mode=True)
                high = high + _repeated(self._same(low, self.filters[:out_high, in_high:]), self._up, full)
        output = high
        if self.out_low:
            low_outputs = self._same(half, self.filters[out_high:])
            output = torch.cat([high, _repeated(low_outputs, (2, 2), full)], dim=-3)
        if self.bias is not None:
            output = output + self.bias.to(output.dtype)[:, None, None]
        return in_layout_of(input, output)

    @property
    def _up(self) -> tuple[int, int]:
        """How often low-to-high repeats its pixels: the source's "upsample only at stride 1", for each direction."""
        return 2 if self.stride[0] == 1 else 1, 2 if self.stride[1] == 1 else 1

    def _same(self, features: Tensor, filters: Tensor) -> Tensor:
        """The convolution at stride 1, which keeps the size."""
        if self.padding_mode != "zeros":
            features = F.pad(features, self.pad_widths, mode=self.padding_mode)
            return F.conv2d(features, filters, dilation=self.dilation)
        return F.conv2d(features, filters, padding=self.padding, dilation=self.dilation)

    @property
    def basis(self) -> Tensor:
        return self.filters

    def match_(self, conv: nn.Conv2d) -> None:
        self.rescale_(float(self.filters.std()), float(conv.weight.std()), self.filters)

    def stages_at(self, output_size: tuple[int, ...], input_size: tuple[int, ...]) -> tuple[Stage, ...]:
        taps = math.prod(self.kernel_size)
        in_high, out_high = self.in_channels - self.in_low, self.out_channels - self.out_low
        pixels = math.prod(output_size)
        half = math.prod((size + 1) // 2 for size in output_size)
        low_to_high = math.prod(-(-size // up) for size, up in zip(output_size, self._up, strict=True))
        return (
            Stage(out_high * in_high * taps * pixels, reads_input=True),
            Stage(out_high * self.in_low * taps * low_to_high, reads_input=True),
            Stage(self.out_low * self.in_channels * taps * half, reads_input=True),
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, in_low={self.in_low}, out_low={self.out_low}"


def _repeated(features: Tensor, times: tuple[int, int], like: Tensor) -> Tensor:
    """Every pixel of a map repeated in both directions, cut to the size of another map where that is odd."""
    *channels, height, width = features.shape
    down, across = times
    wide = features[..., :, None, :, None].expand(*channels, height, down, width, across)
    return wide.reshape(*channels, down * height, across * width)[..., : like.shape[-2], : like.shape[-1]]
