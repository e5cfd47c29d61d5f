"""CP convolution: filters that are sums of R products of one-way filters, one per channel, column, row and output.

Sources: V. Lebedev, Y. Ganin, M. Rakhuba, I. Oseledets, V. Lempitsky, "Speeding-up Convolutional Neural Networks Using
Fine-tuned CP-Decomposition", ICLR 2015; factors learned from the start: A. Boukraichi and co-authors' compression with
a priori one-way filters, 2023.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from linconv.layers.coefficients import count_primaries
from linconv.layers.replacement import (
    ConvReplacement,
    Device,
    PaddingMode,
    RefusedError,
    Stage,
    check_rank,
    pointwise,
)


class CPConv2d(ConvReplacement):
    """W[n, c, y, x] = sum_r B[n, r] v[r, y] h[r, x] A[r, c]; R (c + kh + kw + N) parameters.

    It runs as three convolutions: 1x1 c -> R, depthwise kh x kw with the kernels v h^T, 1x1 R -> N.

    Args:
        rank: R, an int of at least 1, or a float in (0, 1]: the share of the N D numbers of the convolution's filters
            that the four factors may have. Lowered to N D, with which every W has such a sum.

    Raises:
        RefusedError: groups > 1, or a 1x1 kernel.
        ValueError: an option out of its range, or whatever `nn.Conv2d` refuses.
    """

    scaled = "out_factor"

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
        rank: int | float = 0.5,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self._refuse_groups(groups)
        check_rank("rank", rank)
        height, width = self.kernel_size
        if height == width == 1:
            raise RefusedError("a 1x1 kernel has no space to factorise; 'lowrank' factorises its channels")
        if isinstance(rank, float):
            share = count_primaries(rank, out_channels * self.filter_size)
            rank = max(1, share // (in_channels + height + width + out_channels))
        self.rank = min(rank, out_channels * self.filter_size)
        self.in_factor = nn.Parameter(torch.empty(self.rank, in_channels, device=device, dtype=dtype))
        self.vertical = nn.Parameter(torch.empty(self.rank, 1, height, 1, device=device, dtype=dtype))
        self.horizontal = nn.Parameter(torch.empty(self.rank, 1, 1, width, device=device, dtype=dtype))
        self.out_factor = nn.Parameter(torch.empty(out_channels, self.rank, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # Var(W) = R Var(A) Var(v) Var(h) Var(B) is nn.Conv2d's 1 / (3 D), and every stage before B keeps the variance
        for factor in (self.in_factor, self.vertical, self.horizontal):
            bound = math.sqrt(3 / factor[0].numel())
            nn.init.uniform_(factor, -bound, bound)
        nn.init.uniform_(self.out_factor, -1 / math.sqrt(self.rank), 1 / math.sqrt(self.rank))
        self._reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        # without a bias the first 1x1 map commutes with padding of every mode
        features = self._conv(pointwise(input, self.in_factor), self._kernels, groups=self.rank)
        return pointwise(features, self.out_factor, self.bias)

    @property
    def _kernels(self) -> Tensor:
        """Column times row, (R, 1, kh, kw): one depthwise pass over the maps takes less time than two of fewer MACs."""
        return self.vertical * self.horizontal

    @property
    def weight(self) -> Tensor:
        filters = torch.einsum("nr,rk,rc->nck", self.out_factor, self._kernels.flatten(1), self.in_factor)
        return filters.view(self.out_channels, *self._filter_shape)

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return (
            Stage(self.in_factor.numel() * input_pixels, reads_input=True),
            Stage(self.rank * math.prod(self.kernel_size) * pixels),
            Stage(self.out_factor.numel() * pixels),
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank={self.rank}"
