"""CP convolution: filters that are sums of R products of one-way filters, one per channel, column, row and output.

Sources: V. Lebedev, Y. Ganin, M. Rakhuba, I. Oseledets, V. Lempitsky, "Speeding-up Convolutional Neural Networks Using
Fine-tuned CP-Decomposition", ICLR 2015; factors learned from the start: A. Boukraichi and co-authors' compression with
a priori one-way filters, 2023.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from linconv.config.rules import is_int, share_of
from linconv.layers import ConvReplacement, Factory, Rank, Stage, pointwise


class CPConv2d(ConvReplacement):
    """W[n, c, y, x] = sum_r B[n, r] v[r, y] h[r, x] A[r, c]; R (c + kh + kw + N) parameters.

    It runs as three convolutions: 1x1 c -> R, depthwise kh x kw with the kernels v h^T, 1x1 R -> N.

    Args:
        rank: R, an int of at least 1, or a float in (0, 1]: the share of the N D values of the convolution's filters
            that the four factors may have. Lowered to N D, with which every W has such a sum.

    Raises:
        UnsupportedConvError: groups > 1, or a 1x1 kernel.
    """

    forms = ("feature",)
    scaled = ("out_factor",)

    def build(self, factory: Factory, *, rank: Rank = 0.5) -> None:
        self.refuse_groups()
        self.refuse_pointwise("its kernel has no space to factorize; 'lowrank' factorizes its channels")
        (height, width), values = self.kernel_size, self.out_channels * self.filter_size
        if not is_int(rank):
            rank = max(1, share_of(rank, values) // (self.in_channels + height + width + self.out_channels))
        self.rank = min(int(rank), values)
        self.in_factor = factory.parameter(self.rank, self.in_channels)
        self.vertical = factory.parameter(self.rank, 1, height, 1)
        self.horizontal = factory.parameter(self.rank, 1, 1, width)
        self.out_factor = factory.parameter(self.out_channels, self.rank)

    def reset_parameters(self) -> None:
        # Var(W) = R Var(A) Var(v) Var(h) Var(B) is nn.Conv2d's 1 / (3 D), and every stage before B keeps the variance
        for factor in (self.in_factor, self.vertical, self.horizontal):
            bound = math.sqrt(3 / factor[0].numel())
            nn.init.uniform_(factor, -bound, bound)
        nn.init.uniform_(self.out_factor, -1 / math.sqrt(self.rank), 1 / math.sqrt(self.rank))
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        # without a bias the first 1x1 map commutes with padding of every mode
        features = self.convolve(pointwise(input, self.in_factor), self._kernels, groups=self.rank)
        return pointwise(features, self.out_factor, self.bias)

    @property
    def _kernels(self) -> Tensor:
        """Column times row, (R, 1, kh, kw): one depthwise pass takes less time than two of fewer MACs."""
        return self.vertical * self.horizontal

    @property
    def weight(self) -> Tensor:
        filters = torch.einsum("nr,rk,rc->nck", self.out_factor, self._kernels.flatten(1), self.in_factor)
        return filters.view(self.out_channels, *self.filter_shape)

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return (
            Stage(self.in_factor.numel() * input_pixels, reads_input=True),
            Stage(self.rank * math.prod(self.kernel_size) * pixels),
            Stage(self.out_factor.numel() * pixels),
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank={self.rank}"
