"""Kronecker convolution: the filters are a sum of Kronecker products of two small filter banks.

Source: M. G. A. Hameed, M. S. Tahaei, A. Mosleh, V. Partovi Nia, "Convolutional Neural Network Compression through
Generalized Kronecker Product Decomposition", AAAI 2022. Here the whole kernel belongs to the second factor.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from linconv.config.rules import is_int, share_of
from linconv.layers import ConvReplacement, Count, Factory, Rank, Stage, UnsupportedConvError, pointwise
from linconv.layers.geometry import in_layout_of


def _divisor(total: int, wanted: int | None, name: str) -> int:
    """`wanted`, or else the divisor nearest to the root of `total`, the smaller of two."""
    if wanted is None:
        divisors = (d for d in range(1, total + 1) if total % d == 0)
        return min(divisors, key=lambda d: max(d * d / total, total / (d * d)))
    if total % wanted:
        raise UnsupportedConvError(f"{name} {wanted} does not divide {total}")
    return wanted


class KroneckerConv2d(ConvReplacement):
    """W = sum_r A_r (x) B_r, A (R, N1, c1) and B (R, N2, c2, kh, kw): R (N1 c1 + N2 c2 k^2) parameters.

    N = N1 N2 and c/g = c1 c2; filter n1 N2 + n2 has A_r[n1, i1] B_r[n2, i2] for the input i1 c2 + i2. It runs as one
    convolution with W, made once a step; or, where that takes fewer multiply-accumulates, as a convolution of every
    c2 inputs with B and a product with A.

    Args:
        rank: R, an int of at least 1 or a float in (0, 1], the share of the N D values that the factors take; an int
            is lowered to what W can need.
        inner_filters: N2, a divisor of N; None for the one nearest to its root.
        inner_channels: c2, a divisor of c/g; None for the one nearest to its root.
        init: "matched" draws both factors, the filters W with the standard deviation of `nn.Conv2d`'s or of those
            replaced; "svd", in `from_conv2d`, takes the best sum of R products for the given filters.

    Raises:
        UnsupportedConvError: a factor of a single value, or an option that does not divide its number of channels.
    """

    inits = ("matched",)
    fits = ("svd",)
    scaled = ("outer",)

    def build(
        self,
        factory: Factory,
        *,
        rank: Rank = 0.5,
        inner_filters: Count | None = None,
        inner_channels: Count | None = None,
        init: str = "matched",
    ) -> None:
        n2 = _divisor(self.out_channels, inner_filters, "inner_filters")
        c2 = _divisor(self.filter_shape[0], inner_channels, "inner_channels")
        n1, c1 = self.out_channels // n2, self.filter_shape[0] // c2
        outer, inner = n1 * c1, n2 * c2 * math.prod(self.kernel_size)
        if min(outer, inner) == 1:
            raise UnsupportedConvError(f"one factor of {self.out_channels} filters {self.filter_shape} is a number")
        taken = share_of(rank, outer * inner) // (outer + inner)
        self.rank = min(int(rank) if is_int(rank) else max(1, taken), outer, inner)
        self.outer = factory.parameter(self.rank, n1, c1)
        self.inner = factory.parameter(self.rank * n2, c2, *self.kernel_size)  # B_1, ..., B_R below each other
        fewer = sum(stage.macs for stage in self._products(1)) < self.out_channels * self.filter_size
        self.forms = ("feature",) if self.groups == 1 and fewer else ("weight",)

    def reset_parameters(self) -> None:
        # Var(W) = R Var(A) Var(B) is nn.Conv2d's 1 / (3 c k^2); either factor keeps the variance of what it sees
        nn.init.kaiming_uniform_(self.inner, a=math.sqrt(5))
        bound = math.sqrt(3 / (self.rank * self.outer.shape[2]))
        nn.init.uniform_(self.outer, -bound, bound)
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        if self.forms == ("weight",):
            return self.convolve(input, self.weight, self.bias)
        batch = input if input.dim() == 4 else input[None]
        c1 = self.outer.shape[2]
        # the c2 inputs of every i1 are a group, and every group meets all of B
        maps = self.convolve(batch, self.inner.repeat(c1, 1, 1, 1), groups=c1)  # (n, c1 R N2, h', w')
        size = maps.shape[-2:]
        maps = maps.reshape(len(batch), c1 * self.rank, size[0] * (len(self.inner) // self.rank), size[1])
        output = pointwise(maps, self.outer.permute(1, 2, 0).flatten(1))  # (n, N1, N2 h', w')
        output = in_layout_of(batch, output.reshape(len(batch), self.out_channels, *size))
        if self.bias is not None:  # under autocast it is wider than the features and would widen them
            output = output + self.bias.to(output.dtype)[:, None, None]
        return output if input.dim() == 4 else output[0]

    @property
    def weight(self) -> Tensor:
        (_, n1, c1), c2 = self.outer.shape, self.inner.shape[1]
        products = self.outer.flatten(1).T @ self.inner.reshape(self.rank, -1)  # (N1 c1, N2 c2 k^2)
        products = products.view(n1, c1, -1, c2, math.prod(self.kernel_size)).transpose(1, 2)
        return products.reshape(self.out_channels, *self.filter_shape)

    @property
    def basis(self) -> Tensor:
        return self.inner

    def _products(self, pixels: int) -> tuple[Stage, ...]:
        """The convolution with B and the product with A."""
        _, n1, c1 = self.outer.shape
        return (
            Stage(c1 * self.inner.numel() * pixels, reads_input=True),
            Stage(n1 * c1 * len(self.inner) * pixels),
        )

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return self._products(pixels) if self.forms == ("feature",) else super().stages(pixels, input_pixels)

    @property
    def macs_per_step(self) -> int:
        """The sum of the products, where the layer runs with W."""
        return self.rank * self.out_channels * self.filter_size if self.forms == ("weight",) else 0

    def fit_(self, conv: nn.Conv2d, init: str) -> None:
        # A_r (x) B_r are the singular vectors of the filters with the entries of A in rows and those of B in columns;
        # in double on the CPU: the same filters on every device, and in half precision too
        (_, n1, c1), c2 = self.outer.shape, self.inner.shape[1]
        filters = conv.weight.detach().to("cpu", torch.float64)
        rows = filters.reshape(n1, -1, c1, c2, math.prod(self.kernel_size)).transpose(1, 2).reshape(n1 * c1, -1)
        u, s, vh = torch.linalg.svd(rows, full_matrices=False)
        root = s[: self.rank].sqrt()
        self.outer.copy_((u[:, : self.rank] * root).T.reshape(self.outer.shape))
        self.inner.copy_((root[:, None] * vh[: self.rank]).reshape(self.inner.shape))
        if self.bias is not None and conv.bias is not None:
            self.bias.copy_(conv.bias)

    def extra_repr(self) -> str:
        shapes = f"outer={tuple(self.outer.shape[1:])}, inner={(len(self.inner) // self.rank, self.inner.shape[1])}"
        return f"{super().extra_repr()}, rank={self.rank}, {shapes}"
