"""A filter basis shared by slices of the input, and a 1x1 convolution that combines what it finds in them.

Source: Y. Li, S. Gu, L. Van Gool, R. Timofte, "Learning Filter Basis for Convolutional Neural Network Compression",
ICCV 2019. The form with batch norm and ReLU after the basis is the one of its VGG networks.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from linconv.layers import SOURCE, ConvReplacement, Count, Factory, Stage, pointwise
from linconv.layers.geometry import in_layout_of
from linconv.methods.normalized import normalized


class _SlicedConv2d(ConvReplacement):
    """The c inputs cut into slices of b channels, the same n_b filters on each slice, a 1x1 convolution on the maps."""

    forms = ("feature",)

    def build(self, factory: Factory, *, slice_channels: Count = 128, filters: Count = 128) -> None:
        self.refuse_groups()
        self.refuse_pointwise("it ends in one")
        self.slice_channels = min(slice_channels, self.in_channels)
        self.slices = -(-self.in_channels // self.slice_channels)
        self.filters = factory.parameter(filters, self.slice_channels, *self.kernel_size)
        self.combination = factory.parameter(self.out_channels, self.slices * filters)

    @property
    def basis(self) -> Tensor:
        return self.filters

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        """The filters on every slice, the last slice filled up with zeros; the 1x1 convolution."""
        return (
            Stage(self.slices * self.filters.numel() * pixels, reads_input=True),
            Stage(self.combination.numel() * pixels),
        )

    def _filter_slices(self, batch: Tensor, bias: Tensor | None = None) -> Tensor:
        """(n, c, h, w) -> (n, slices * n_b, h', w'), the feature maps of one slice after those of another."""
        if missing := self.slices * self.slice_channels - self.in_channels:
            batch = F.pad(batch, (0, 0, 0, 0, 0, missing))
        # slices are further images to the filters they share
        slices = batch.unflatten(1, (self.slices, self.slice_channels)).flatten(0, 1)
        maps = self.convolve(slices, self.filters, bias)
        return in_layout_of(batch, maps.unflatten(0, (batch.shape[0], self.slices)).flatten(1, 2))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, slice_channels={self.slice_channels}, filters={len(self.filters)}"


class BasisConv2d(_SlicedConv2d):
    """y = C relu(BN(F * x_1, ..., F * x_s)): n_b filters F on each of the s = c/b slices x_i of b channels, then 1x1.

    n_b b k^2 + (c/b) n_b N parameters, 2 (c/b) n_b of the batch norm, and where the convolution has a bias n_b + N:
    F and C each have one, as in the source. A last slice of fewer than b channels uses the first channels of F.

    Args:
        slice_channels: b, at least 1; lowered to c where c is smaller.
        filters: n_b, at least 1.

    Raises:
        UnsupportedConvError: groups > 1, or a 1x1 kernel.
    """

    folds = False

    def build(self, factory: Factory, *, slice_channels: Count = 128, filters: Count = 128) -> None:
        super().build(factory, slice_channels=slice_channels, filters=filters)
        if self.bias is None:
            self.register_parameter("filter_bias", None)
        else:
            self.filter_bias = factory.parameter(filters)
        self.norm = nn.BatchNorm2d(self.combination.shape[1], **factory._asdict())

    def reset_parameters(self) -> None:
        # both as nn.Conv2d draws; the norm takes away the scale of the first and what its bias adds
        nn.init.kaiming_uniform_(self.filters, a=math.sqrt(5))
        nn.init.kaiming_uniform_(self.combination, a=math.sqrt(5))
        if self.filter_bias is not None:
            nn.init.zeros_(self.filter_bias)
        self.norm.reset_parameters()
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        batch = input if input.dim() == 4 else input[None]
        found = F.relu(normalized(self, self.norm, self._filter_slices(batch, self.filter_bias)))
        output = pointwise(found, self.combination, self.bias)
        return output if input.dim() == 4 else output[0]


class LinearBasisConv2d(_SlicedConv2d):
    """W[:, slice i] = C_i F: n_b filters F (n_b, b, kh, kw) for each of the s = c/b slices, combined by C_i (N, n_b).

    n_b b k^2 + (c/b) n_b N parameters, plus the bias. A last slice of fewer than b channels uses the first channels
    of F.

    Args:
        slice_channels: b, at least 1; lowered to c where c is smaller.
        filters: n_b, at least 1.
        init: "matched" draws the filters W with the standard deviation of `nn.Conv2d`'s or of those replaced; "source"
            draws the parameters as the authors' code does, whatever scale that gives.

    Raises:
        UnsupportedConvError: groups > 1, or a 1x1 kernel.
    """

    inits = ("matched", SOURCE)
    scaled = ("combination",)

    def build(
        self, factory: Factory, *, slice_channels: Count = 128, filters: Count = 128, init: str = "matched"
    ) -> None:
        self.init = init
        super().build(factory, slice_channels=slice_channels, filters=filters)

    def reset_parameters(self) -> None:
        if self.init == SOURCE:
            nn.init.kaiming_uniform_(self.filters)
            nn.init.normal_(self.combination, std=math.sqrt(2 / self.out_channels))
        else:
            # Var(W) = n_b Var(C) Var(F), Var(F) = 1 / (3 b k^2) as nn.Conv2d draws, is nn.Conv2d's 1 / (3 c k^2)
            nn.init.kaiming_uniform_(self.filters, a=math.sqrt(5))
            bound = math.sqrt(3 * self.slice_channels / (self.in_channels * len(self.filters)))
            nn.init.uniform_(self.combination, -bound, bound)
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        batch = input if input.dim() == 4 else input[None]
        output = pointwise(self._filter_slices(batch), self.combination, self.bias)
        return output if input.dim() == 4 else output[0]

    @property
    def weight(self) -> Tensor:
        by_slice = self.combination.unflatten(1, (self.slices, -1))  # (N, s, n_b)
        filters = (by_slice @ self.filters.flatten(1)).view(self.out_channels, -1, *self.kernel_size)
        return filters[:, : self.in_channels]
