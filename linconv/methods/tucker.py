"""Tucker convolution: a small k x k convolution between two 1x1 convolutions.

Sources: Y.-D. Kim, E. Park, S. Yoo, T. Choi, L. Yang, D. Shin, "Compression of Deep Convolutional Neural Networks for
Fast and Low Power Mobile Applications", ICLR 2016 (the Tucker-2 form); J. Kossaifi, A. Bulat, G. Tzimiropoulos,
M. Pantic, "T-Net: Parametrizing Fully Convolutional Nets with a Single High-Order Tensor", CVPR 2019 (learned from
the start).
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


class TuckerConv2d(ConvReplacement):
    """W = B G A: A (r_c, c), core G (r_n, r_c, kh, kw), B (N, r_n); c r_c + r_c r_n k^2 + r_n N parameters.

    It runs as three convolutions, of which only the one in the middle is larger than 1x1.

    Args:
        in_rank: r_c, an int of at least 1 or a float in (0, 1], a proportion of the c input channels.
        out_rank: r_n, likewise of the N filters. Ranks that no W can have are lowered to the highest one it can.
        init: "matched" draws the three uniformly, the filters W with the standard deviation of `nn.Conv2d`'s or of
            those replaced; "svd", in `from_conv2d`, projects the given filters on the leading singular vectors of
            their two unfoldings (HOSVD).

    Raises:
        RefusedError: groups > 1, or a 1x1 kernel.
        ValueError: an option out of its range, or whatever `nn.Conv2d` refuses.
    """

    inits = ("matched",)
    fits = ("svd",)
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
        in_rank: int | float = 0.5,
        out_rank: int | float = 0.5,
        init: str = "matched",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self._refuse_groups(groups)
        if init not in self.inits:
            raise ValueError(f"init must be one of {', '.join((*self.inits, *self.fits))}, not {init!r}")
        r_c, r_n = _rank("in_rank", in_rank, in_channels), _rank("out_rank", out_rank, out_channels)
        taps = math.prod(self.kernel_size)
        if taps == 1:
            raise RefusedError("a 1x1 kernel has no space to factorise; 'lowrank' factorises its channels")
        r_n = min(r_n, r_c * taps)
        r_c = min(r_c, r_n * taps)
        self.in_factor = nn.Parameter(torch.empty(r_c, in_channels, device=device, dtype=dtype))
        self.core = nn.Parameter(torch.empty(r_n, r_c, *self.kernel_size, device=device, dtype=dtype))
        self.out_factor = nn.Parameter(torch.empty(out_channels, r_n, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # Var(W) = r_n r_c Var(B) Var(G) Var(A); the core as nn.Conv2d draws, A and B so that each keeps the variance
        for factor in (self.in_factor, self.out_factor):
            bound = math.sqrt(3 / factor.shape[1])
            nn.init.uniform_(factor, -bound, bound)
        nn.init.kaiming_uniform_(self.core, a=math.sqrt(5))
        self._reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        # without a bias the first 1x1 map commutes with padding of every mode
        features = self._conv(pointwise(input, self.in_factor), self.core)
        return pointwise(features, self.out_factor, self.bias)

    @property
    def weight(self) -> Tensor:
        return torch.einsum("nb,bahw,ac->nchw", self.out_factor, self.core, self.in_factor)

    @property
    def basis(self) -> Tensor:
        return self.core

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return (
            Stage(self.in_factor.numel() * input_pixels, reads_input=True),
            Stage(self.core.numel() * pixels),
            Stage(self.out_factor.numel() * pixels),
        )

    @torch.no_grad()
    def _fit_(self, conv: nn.Conv2d, init: str) -> None:
        # in double on the CPU: the same filters on every device, and in half precision too
        filters = conv.weight.detach().to("cpu", torch.float64)
        r_n, r_c = self.core.shape[:2]
        left = torch.linalg.svd(filters.flatten(1), full_matrices=False)[0][:, :r_n]
        right = torch.linalg.svd(filters.transpose(0, 1).flatten(1), full_matrices=False)[0][:, :r_c]
        self.out_factor.copy_(left)
        self.in_factor.copy_(right.T)
        self.core.copy_(torch.einsum("nb,nchw,ca->bahw", left, filters, right))
        if self.bias is not None and conv.bias is not None:
            self.bias.copy_(conv.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, in_rank={self.core.shape[1]}, out_rank={self.core.shape[0]}"


def _rank(name: str, rank: int | float, channels: int) -> int:
    check_rank(name, rank)
    return min(channels, max(1, count_primaries(rank, channels)) if isinstance(rank, float) else rank)
