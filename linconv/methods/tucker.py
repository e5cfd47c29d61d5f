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

from linconv.config.rules import rank_of
from linconv.layers import ConvReplacement, Factory, Rank, Stage, pointwise

SWEEPS, ENOUGH = 100, 1e-4  # tensorly's defaults


class TuckerConv2d(ConvReplacement):
    """W = B G A: A (r_c, c), core G (r_n, r_c, kh, kw), B (N, r_n); c r_c + r_c r_n k^2 + r_n N parameters.

    It runs as three convolutions, of which only the one in the middle is larger than 1x1.

    Args:
        in_rank: r_c, an int of at least 1 or a float in (0, 1], a proportion of the c input channels.
        out_rank: r_n, an int of at least 1 or a float in (0, 1], a proportion of the N filters. A rank that no W can
            have is lowered to the highest rank that W can have.
        init: "matched" draws the three uniformly, the filters W with the standard deviation of `nn.Conv2d`'s or of
            those replaced; "svd", in `from_conv2d`, approximates the given filters by higher-order orthogonal
            iteration from the leading singular vectors of their two unfoldings, with the stopping rule of tensorly's
            `partial_tucker` (L. De Lathauwer, B. De Moor, J. Vandewalle, 2000).

    Raises:
        UnsupportedConvError: groups > 1, or a 1x1 kernel.
    """

    inits = ("matched",)
    fits = ("svd",)
    forms = ("feature",)
    scaled = ("out_factor",)

    def build(self, factory: Factory, *, in_rank: Rank = 0.5, out_rank: Rank = 0.5, init: str = "matched") -> None:
        self.refuse_groups()
        self.refuse_pointwise("its kernel has no space to factorize; 'lowrank' factorizes its channels")
        r_c, r_n = rank_of(in_rank, self.in_channels), rank_of(out_rank, self.out_channels)
        taps = math.prod(self.kernel_size)
        r_n = min(r_n, r_c * taps)
        r_c = min(r_c, r_n * taps)
        self.in_factor = factory.parameter(r_c, self.in_channels)
        self.core = factory.parameter(r_n, r_c, *self.kernel_size)
        self.out_factor = factory.parameter(self.out_channels, r_n)

    def reset_parameters(self) -> None:
        # Var(W) = r_n r_c Var(B) Var(G) Var(A); the core as nn.Conv2d draws, A and B so that each keeps the variance
        for factor in (self.in_factor, self.out_factor):
            bound = math.sqrt(3 / factor.shape[1])
            nn.init.uniform_(factor, -bound, bound)
        nn.init.kaiming_uniform_(self.core, a=math.sqrt(5))
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        # without a bias the first 1x1 map commutes with padding of every mode
        features = self.convolve(pointwise(input, self.in_factor), self.core)
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

    def fit_(self, conv: nn.Conv2d, init: str) -> None:
        # in double on the CPU: the same filters on every device, and in half precision too
        filters = conv.weight.detach().to("cpu", torch.float64)
        r_n, r_c = self.core.shape[:2]
        left, core, right = _orthogonal_iteration(filters, r_n, r_c)
        self.out_factor.copy_(left)
        self.in_factor.copy_(right.T)
        self.core.copy_(core)
        if self.bias is not None and conv.bias is not None:
            self.bias.copy_(conv.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, in_rank={self.core.shape[1]}, out_rank={self.core.shape[0]}"


def _orthogonal_iteration(filters: Tensor, r_n: int, r_c: int) -> tuple[Tensor, Tensor, Tensor]:
    """Orthonormal factors (N, r_n) and (c, r_c), and the core between them, nearest to filters (N, c, kh, kw).

    Each sweep finds one factor for the other as it is. It stops, after three sweeps at the least, where the error
    relative to the filters changes by less than `ENOUGH`.
    """
    right = _leading(filters.transpose(0, 1), r_c)
    size, error = filters.norm().clamp_min(torch.finfo(filters.dtype).tiny), filters.new_tensor(math.inf)
    for sweep in range(SWEEPS):
        left = _leading(torch.einsum("nchw,ca->nahw", filters, right), r_n)
        projected = torch.einsum("nchw,nb->cbhw", filters, left)
        right = _leading(projected, r_c)
        core = torch.einsum("cbhw,ca->bahw", projected, right)
        # orthonormal factors leave the norm of the core as it is
        before, error = error, (size.square() - core.norm().square()).abs().sqrt() / size
        if sweep > 1 and (before - error).abs() < ENOUGH:
            break
    return left, core, right


def _leading(tensor: Tensor, rank: int) -> Tensor:
    """The leading left singular vectors of the unfolding (M, ...) -> (M, rest), (M, rank).

    Of a wide unfolding, as eigenvectors of its (M, M) Gram matrix, which takes a fraction of the time. The square
    blurs singular values below 1e-8 of the largest alone, and these add nothing to the filters.
    """
    unfolded = tensor.flatten(1)
    if unfolded.shape[0] > unfolded.shape[1]:
        return torch.linalg.svd(unfolded, full_matrices=False)[0][:, :rank]
    return torch.linalg.eigh(unfolded @ unfolded.T)[1].flip(1)[:, :rank]
