"""Heterogeneous kernels: every filter is k x k on 1/p of the inputs and 1x1 on the others.

Source: P. Singh, V. K. Verma, P. Rai, V. P. Namboodiri, "HetConv: Heterogeneous Kernel-Based Convolutions for Deep
CNNs", CVPR 2019.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.config.rules import at_least
from linconv.layers import ConvReplacement, Factory, Stage, UnsupportedConvError
from linconv.layers.geometry import in_layout_of


class HetConv2d(ConvReplacement):
    """W[n, i] is a k x k kernel where i = n (mod p), elsewhere 0 but for the tap at its center.

    c N (k^2/p + 1 - 1/p) parameters where p divides c, plus the bias. It runs as a grouped convolution, whose p groups
    are the filters and inputs of the same n and i (mod p), and a dense 1x1 convolution with zeros where the groups
    are: c N (k^2/p + 1) multiply-accumulates per pixel, c N / p more than it has parameters; widths that p does not
    divide are filled up with zeros. The center of an even kernel is the tap before the middle.

    Args:
        part: p, an int of at least 2.

    Raises:
        UnsupportedConvError: groups > 1, a 1x1 kernel, or fewer than p inputs, so that some filters would see none of
            them with a k x k kernel.
    """

    forms = ("feature",)
    scaled = ("kernels", "points")
    kernels_at: Tensor
    points_at: Tensor
    grouped_at: Tensor

    def build(self, factory: Factory, *, part: Annotated[int, at_least(2)] = 4) -> None:
        self.refuse_groups()
        self.refuse_pointwise("all its kernels would be 1x1")
        if self.in_channels < part:
            raise UnsupportedConvError(f"HetConv2d with part={part} needs as many inputs, not {self.in_channels}")
        self.part = part
        # filters and inputs of a group, filled up
        self._group = (-(-self.out_channels // part), -(-self.in_channels // part))
        places = self._places()
        # of four dimensions, so that it has a memory layout as other filters do
        self.kernels = factory.parameter(len(places["kernels_at"]), 1, *self.kernel_size)
        self.points = factory.parameter(len(places["points_at"]), 1)
        for name, value in places.items():
            self.register_buffer(name, value.to(self.kernels.device), persistent=False)

    def _places(self) -> dict[str, Tensor]:
        """Where the parameters stand: as rows of (N c, kh kw), and of the grouped convolution's filters."""
        with torch.device("cpu"):
            n, i = torch.arange(self.out_channels), torch.arange(self.in_channels)
        same = (n[:, None] - i) % self.part == 0  # (N, c)
        pairs = same.nonzero()
        filters, inputs = self._group
        rows = (pairs[:, 0] % self.part * filters + pairs[:, 0] // self.part) * inputs + pairs[:, 1] // self.part
        rows, order = rows.sort()  # the order of the grouped convolution's filters
        return {
            "grouped_at": rows,
            "kernels_at": (pairs[:, 0] * self.in_channels + pairs[:, 1])[order],
            "points_at": (~same).flatten().nonzero()[:, 0],
        }

    def _set_places(self) -> None:
        """Write the buffers, which are no part of the state: `to_empty` and loading into a meta layer lose them."""
        for name, value in self._places().items():
            setattr(self, name, value.to(self.kernels.device))

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._set_places()

    def reset_parameters(self) -> None:
        self._set_places()
        # a filter's fan-in F, at U(-1/sqrt(F), 1/sqrt(F)), has the output's variance that nn.Conv2d has
        bound = math.sqrt(self.out_channels / (self.kernels.numel() + self.points.numel()))
        nn.init.uniform_(self.kernels, -bound, bound)
        nn.init.uniform_(self.points, -bound, bound)
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        batch = input if input.dim() == 4 else input[None]
        matrix = self._spread(self.points, self.points_at, self.out_channels * self.in_channels)
        matrix = matrix.view(self.out_channels, self.in_channels, 1, 1)
        output = self._filter_groups(batch) + F.conv2d(self._center_taps(batch), matrix, self.bias)
        output = in_layout_of(batch, output)
        return output if input.dim() == 4 else output[0]

    def _filter_groups(self, batch: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, N, h', w'), the feature maps of the k x k kernels."""
        (filters, inputs), p = self._group, self.part
        if missing := p * inputs - self.in_channels:
            batch = F.pad(batch, (0, 0, 0, 0, 0, missing))
        batch = batch.unflatten(1, (inputs, p)).transpose(1, 2).flatten(1, 2)  # by i mod p
        maps = self.convolve(batch, self._grouped_filters(), groups=p)
        return maps.unflatten(1, (p, filters)).transpose(1, 2).flatten(1, 2)[:, : self.out_channels]

    def _grouped_filters(self) -> Tensor:
        (filters, inputs), p = self._group, self.part
        kernels = self.kernels.flatten(1)
        if len(kernels) < p * filters * inputs:
            kernels = self._spread(kernels, self.grouped_at, p * filters * inputs)
        return kernels.view(p * filters, inputs, *self.kernel_size)

    def _center_taps(self, batch: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h', w'), the input that the center of a kernel meets for each output."""
        (kh, kw), (dh, dw), (sh, sw) = self.kernel_size, self.dilation, self.stride
        top, left = (kh - 1) // 2 * dh, (kw - 1) // 2 * dw
        reach = (left, (kw - 1) * dw - left, top, (kh - 1) * dh - top)
        padding = self.pad_widths
        if self.padding_mode != "zeros":
            batch, padding = F.pad(batch, padding, mode=self.padding_mode), [0] * 4
        borders = [wanted - reached for wanted, reached in zip(padding, reach, strict=True)]  # negative ones are cut
        if any(borders):
            batch = F.pad(batch, borders)
        return batch[..., ::sh, ::sw]

    @staticmethod
    def _spread(rows: Tensor, at: Tensor, length: int) -> Tensor:
        return rows.new_zeros(length, rows.shape[1]).index_copy(0, at, rows)

    @property
    def weight(self) -> Tensor:
        (kh, kw), pairs = self.kernel_size, self.out_channels * self.in_channels
        center = (kh - 1) // 2 * kw + (kw - 1) // 2
        points = F.pad(self.points, (center, kh * kw - 1 - center))
        kernels = self._spread(self.kernels.flatten(1), self.kernels_at, pairs)
        return (kernels + self._spread(points, self.points_at, pairs)).view(self.out_channels, *self.filter_shape)

    @property
    def basis(self) -> Tensor:
        """The filters W with their zeros."""
        return self.weight

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        """The grouped convolution and the dense 1x1 one, which both read the input."""
        (filters, inputs), kernel = self._group, math.prod(self.kernel_size)
        return (
            Stage(self.part * filters * inputs * kernel * pixels, reads_input=True),
            Stage(self.out_channels * self.in_channels * pixels, reads_input=True),
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, part={self.part}"
