"""Low-rank convolution: r filters, and a 1x1 convolution that makes N of them.

Source of the layer and of its start from trained filters: H. Wang, S. Agarwal, D. Papailiopoulos, "Pufferfish:
Communication-efficient Models At No Extra Cost", MLSys 2021, whose networks keep their first layers plain. A frozen
random basis: P. Gavrikov, J. Keuper, "The Power of Linear Combinations: Learning with Random Convolutions", 2023, who
combine more random filters than there are outputs.

The layer spans the functions of LinearConv with as many primaries, which fixes the first rows of the combination to
the identity.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from linconv.config.rules import rank_of
from linconv.layers import SOURCE, ConvReplacement, Factory, Rank, Stage, pointwise


class LowRankConv2d(ConvReplacement):
    """W = C B: r filters B (r, c, kh, kw), combined by C (N, r); r (D + N) parameters instead of N D.

    Args:
        rank: r, an int of at least 1 or a float in (0, 1], a proportion of the N filters; an int above min(N, D) is
            lowered to it, since no W has a higher rank.
        freeze_basis: keep B as it was drawn and learn C alone.
        init: "matched" draws both factors uniformly, the filters W with the standard deviation of `nn.Conv2d`'s or of
            those replaced; "source" draws both normally, as the authors' networks that start low-rank; "svd", in
            `from_conv2d`, takes the best rank-r approximation of the given filters.

    Raises:
        UnsupportedConvError: groups > 1.
    """

    inits = ("matched", SOURCE)
    fits = ("svd",)
    forms = ("feature",)
    scaled = ("combination",)

    def build(self, factory: Factory, *, rank: Rank = 0.5, freeze_basis: bool = False, init: str = "matched") -> None:
        self.init = init
        self.refuse_groups()
        self.rank = min(rank_of(rank, self.out_channels), self.filter_size)
        self.filters = factory.parameter(self.rank, *self.filter_shape)
        self.combination = factory.parameter(self.out_channels, self.rank)
        self.filters.requires_grad_(not freeze_basis)

    def reset_parameters(self) -> None:
        if self.init == SOURCE:
            # variance 2 / (k^2 outputs) of each convolution
            nn.init.normal_(self.filters, std=math.sqrt(2 / (math.prod(self.kernel_size) * self.rank)))
            nn.init.normal_(self.combination, std=math.sqrt(2 / self.out_channels))
        else:
            # Var(sum_r c_r b_r) = r Var(c) Var(b); B as nn.Conv2d draws, so Var(c) = 1 / r keeps its variance
            nn.init.kaiming_uniform_(self.filters, a=math.sqrt(5))
            nn.init.uniform_(self.combination, -math.sqrt(3 / self.rank), math.sqrt(3 / self.rank))
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        return pointwise(self.convolve(input, self.filters), self.combination, self.bias)

    @property
    def weight(self) -> Tensor:
        return (self.combination @ self.filters.flatten(1)).view(self.out_channels, *self.filter_shape)

    @property
    def basis(self) -> Tensor:
        return self.filters

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return (
            Stage(self.rank * self.filter_size * pixels, reads_input=True),
            Stage(self.out_channels * self.rank * pixels),
        )

    def fit_(self, conv: nn.Conv2d, init: str) -> None:
        # in double on the CPU: the same filters on every device, and in half precision too
        u, s, vh = torch.linalg.svd(conv.weight.detach().flatten(1).to("cpu", torch.float64), full_matrices=False)
        root = s[: self.rank].sqrt()
        self.combination.copy_(u[:, : self.rank] * root)
        self.filters.copy_((root[:, None] * vh[: self.rank]).view_as(self.filters))
        if self.bias is not None and conv.bias is not None:
            self.bias.copy_(conv.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank={self.rank}"
