"""Low-rank convolution: r filters, and a 1x1 convolution that makes N of them.

Source: H. Wang, S. Agarwal, D. Papailiopoulos, "Pufferfish: Communication-efficient Models At No Extra Cost", MLSys
2021; with a frozen random basis: P. Gavrikov, J. Keuper, "The Power of Linear Combinations: Learning with Random
Convolutions", 2023. It spans the functions of LinearConv with as many primaries, which fixes the first rows of the
combination to the identity.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from linconv.layers.coefficients import count_primaries
from linconv.layers.replacement import ConvReplacement, Device, PaddingMode, Stage, check_rank, pointwise


class LowRankConv2d(ConvReplacement):
    """W = C B: r filters B (r, c, kh, kw), combined by C (N, r); r (D + N) parameters instead of N D.

    Args:
        rank: r, an int of at least 1 or a float in (0, 1], a proportion of the N filters; an int above min(N, D) is
            lowered to it, since no W has a higher rank.
        freeze_basis: keep B as it was drawn and learn C alone.
        init: "matched" draws both factors uniformly, the filters W with the standard deviation of `nn.Conv2d`'s or of
            those replaced; "svd", in `from_conv2d`, takes the best rank-r approximation of the given filters.

    Raises:
        RefusedError: groups > 1.
        ValueError: an option out of its range, or whatever `nn.Conv2d` refuses.
    """

    inits = ("matched",)
    fits = ("svd",)
    scaled = "combination"

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
        freeze_basis: bool = False,
        init: str = "matched",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self._refuse_groups(groups)
        check_rank("rank", rank)
        if init not in self.inits:
            raise ValueError(f"init must be one of {', '.join((*self.inits, *self.fits))}, not {init!r}")
        wanted = max(1, count_primaries(rank, out_channels)) if isinstance(rank, float) else rank
        self.rank = min(wanted, out_channels, self.filter_size)
        self.filters = nn.Parameter(torch.empty(self.rank, *self._filter_shape, device=device, dtype=dtype))
        self.combination = nn.Parameter(torch.empty(out_channels, self.rank, device=device, dtype=dtype))
        self.filters.requires_grad_(not freeze_basis)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # Var(sum_r c_r b_r) = r Var(c) Var(b); B as nn.Conv2d draws, so Var(c) = 1 / r keeps its variance
        nn.init.kaiming_uniform_(self.filters, a=math.sqrt(5))
        nn.init.uniform_(self.combination, -math.sqrt(3 / self.rank), math.sqrt(3 / self.rank))
        self._reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        return pointwise(self._conv(input, self.filters), self.combination, self.bias)

    @property
    def weight(self) -> Tensor:
        return (self.combination @ self.filters.flatten(1)).view(self.out_channels, *self._filter_shape)

    @property
    def basis(self) -> Tensor:
        return self.filters

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return (
            Stage(self.rank * self.filter_size * pixels, reads_input=True),
            Stage(self.out_channels * self.rank * pixels),
        )

    @torch.no_grad()
    def _fit_(self, conv: nn.Conv2d, init: str) -> None:
        # in double on the CPU: the same filters on every device, and in half precision too
        u, s, vh = torch.linalg.svd(conv.weight.detach().flatten(1).to("cpu", torch.float64), full_matrices=False)
        root = s[: self.rank].sqrt()
        self.combination.copy_(u[:, : self.rank] * root)
        self.filters.copy_((root[:, None] * vh[: self.rank]).view_as(self.filters))
        if self.bias is not None and conv.bias is not None:
            self.bias.copy_(conv.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank={self.rank}"
