"""Heterogeneous kernels: every filter is k x k on 1/p of the inputs and 1x1 on the others.

Source: P. Singh, V. K. Verma, P. Rai, V. P. Namboodiri, "HetConv: Heterogeneous Kernel-Based Convolutions for Deep
CNNs", CVPR 2019.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.layers.replacement import ConvReplacement, Device, PaddingMode, RefusedError, Stage


class HetConv2d(ConvReplacement):
    """W[n, i] is a k x k kernel where i = n (mod p), elsewhere 0 but for the tap at its centre.

    c N (k^2/p + 1 - 1/p) parameters where p divides c, plus the bias. It runs as a grouped convolution, whose p groups
    are the filters and inputs of the same n and i (mod p), and a dense 1x1 convolution with zeros where the groups
    are: c N (k^2/p + 1) multiply-accumulates per pixel, c N / p more than it has parameters; widths that p does not
    divide are filled up with zeros. The centre of an even kernel is the tap before the middle.

    Args:
        part: p, an int of at least 2.

    Raises:
        RefusedError: groups > 1, a 1x1 kernel, or fewer than p inputs, of which some filters would see none with k x k.
        ValueError: an option out of its range, or whatever `nn.Conv2d` refuses.
    """

    kernels_at: Tensor
    points_at: Tensor
    grouped_at: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        part: int = 4,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        if isinstance(part, bool) or not isinstance(part, int) or part < 2:
            raise ValueError(f"part must be an int of at least 2, not {part!r}")
        self._refuse_groups(groups)
        if self.kernel_size == (1, 1):
            raise RefusedError("HetConv2d replaces no 1x1 convolution: all its kernels would be 1x1")
        if in_channels < part:
            raise RefusedError(f"HetConv2d with part={part} needs as many input channels, not {in_channels}")
        self.part = part
        self._group = (-(-out_channels // part), -(-in_channels // part))  # filters and inputs of a group, filled up
        n, i = torch.arange(out_channels, device="cpu"), torch.arange(in_channels, device="cpu")
        same = (n[:, None] - i) % part == 0  # (N, c)
        pairs = same.nonzero()
        places = (pairs[:, 0] % part * self._group[0] + pairs[:, 0] // part) * self._group[1] + pairs[:, 1] // part
        places, order = places.sort()  # the order of the grouped convolution's filters
        self.kernels = nn.Parameter(torch.empty(len(pairs), *self.kernel_size, device=device, dtype=dtype))
        points = out_channels * in_channels - len(pairs)
        self.points = nn.Parameter(torch.empty(points, 1, device=device, dtype=dtype))
        positions = {
            "grouped_at": places,
            "kernels_at": (pairs[:, 0] * in_channels + pairs[:, 1])[order],
            "points_at": (~same).flatten().nonzero()[:, 0],
        }
        for name, value in positions.items():
            self.register_buffer(name, value.to(self.kernels.device), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # a filter's fan-in F, at U(-1/sqrt(F), 1/sqrt(F)), has the output's variance that nn.Conv2d has
        bound = math.sqrt(self.out_channels / (self.kernels.numel() + self.points.numel()))
        nn.init.uniform_(self.kernels, -bound, bound)
        nn.init.uniform_(self.points, -bound, bound)
        self._reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        batch = input if input.dim() == 4 else input[None]
        matrix = self._spread(self.points, self.points_at, self.out_channels * self.in_channels)
        matrix = matrix.view(self.out_channels, self.in_channels, 1, 1)
        output = self._filter_groups(batch) + F.conv2d(self._centre_taps(batch), matrix, self.bias)
        return output if input.dim() == 4 else output[0]

    def _filter_groups(self, batch: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, N, h', w'), what the k x k kernels make of their inputs."""
        (filters, inputs), p = self._group, self.part
        if missing := p * inputs - self.in_channels:
            batch = F.pad(batch, (0, 0, 0, 0, 0, missing))
        batch = batch.unflatten(1, (inputs, p)).transpose(1, 2).flatten(1, 2)  # by i mod p
        maps = self._conv(batch, self._grouped_filters(), groups=p)
        return maps.unflatten(1, (p, filters)).transpose(1, 2).flatten(1, 2)[:, : self.out_channels]

    def _grouped_filters(self) -> Tensor:
        (filters, inputs), p = self._group, self.part
        kernels = self.kernels.flatten(1)
        if len(kernels) < p * filters * inputs:
            kernels = self._spread(kernels, self.grouped_at, p * filters * inputs)
        return kernels.view(p * filters, inputs, *self.kernel_size)

    def _centre_taps(self, batch: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h', w'), the input that the centre of a kernel meets for each output."""
        (kh, kw), (dh, dw), (sh, sw) = self.kernel_size, self.dilation, self.stride
        top, left = (kh - 1) // 2 * dh, (kw - 1) // 2 * dw
        reach = (left, (kw - 1) * dw - left, top, (kh - 1) * dh - top)
        padding = self._reversed_padding_repeated_twice
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
        centre = (kh - 1) // 2 * kw + (kw - 1) // 2
        points = F.pad(self.points, (centre, kh * kw - 1 - centre))
        kernels = self._spread(self.kernels.flatten(1), self.kernels_at, pairs)
        return (kernels + self._spread(points, self.points_at, pairs)).view(self.out_channels, *self._filter_shape)

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

    @torch.no_grad()
    def _match_(self, conv: nn.Conv2d) -> None:
        drawn, wanted = float(self.weight.std()), float(conv.weight.std())
        if drawn > 0 and math.isfinite(wanted):
            self.kernels.mul_(wanted / drawn)
            self.points.mul_(wanted / drawn)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, part={self.part}"
