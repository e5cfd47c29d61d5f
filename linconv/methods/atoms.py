"""Filter atoms: the k x k kernels of a layer are linear combinations of a few shared ones.

Sources: S. Li, E. Hanson, H. Li, Y. Chen, "PENNI: Pruned Kernel Sharing for Efficient CNN Inference", ICML 2020 (the
layer, and its start from given filters); Q. Qiu, X. Cheng, R. Calderbank, G. Sapiro, "DCFNet: Deep Neural Network with
Decomposed Convolutional Filters", ICML 2018 (atoms that stay as they are).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.config.rules import rank_of
from linconv.layers import ConvReplacement, Factory, Rank, Stage


class AtomsConv2d(ConvReplacement):
    """W[n, i] = sum_m a[n, i, m] psi[m]: M atoms psi (M, kh, kw) and a (N, c/g, M); M N c/g + M k^2 parameters.

    It runs as a depthwise convolution of every input with every atom, and a 1x1 convolution of those M c feature maps.

    Args:
        atoms: M, an int of at least 1 or a float in (0, 1], a proportion of k^2; an int above k^2 is lowered to it,
            since k^2 atoms make every kernel.
        freeze_basis: keep the atoms as they were drawn and learn a alone, M N c/g parameters.
        init: "matched" draws orthonormal atoms, and a so that the filters W have the standard deviation of
            `nn.Conv2d`'s or of those replaced; "svd", in `from_conv2d`, takes the best M atoms for the given filters.

    Raises:
        UnsupportedConvError: a 1x1 kernel.
    """

    inits = ("matched",)
    fits = ("svd",)
    forms = ("feature",)
    scaled = ("coefficients",)

    def build(self, factory: Factory, *, atoms: Rank = 0.5, freeze_basis: bool = False, init: str = "matched") -> None:
        self.refuse_pointwise("its kernels are numbers, and there is nothing to combine")
        self.taps = math.prod(self.kernel_size)
        self.atoms = factory.parameter(rank_of(atoms, self.taps), 1, *self.kernel_size)
        self.coefficients = factory.parameter(self.out_channels, self.filter_shape[0], len(self.atoms))
        self.atoms.requires_grad_(not freeze_basis)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        # orthonormal rows, drawn in double on the CPU: the factorization exists there for every dtype
        drawn = torch.randn(self.taps, self.taps, dtype=torch.float64, device="cpu")
        self.atoms.copy_(torch.linalg.qr(drawn).Q[: len(self.atoms)].view(self.atoms.shape))
        # the mean of Var(W) over the kernel, Var(a) M / k^2, is nn.Conv2d's 1 / (3 c/g k^2)
        bound = 1 / math.sqrt(len(self.atoms) * self.filter_shape[0])
        nn.init.uniform_(self.coefficients, -bound, bound)
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        # M feature maps of an input lie next to each other, as its M coefficients do
        maps = self.convolve(input, self.atoms.repeat(self.in_channels, 1, 1, 1), groups=self.in_channels)
        return F.conv2d(maps, self.coefficients.flatten(1)[:, :, None, None], self.bias, groups=self.groups)

    @property
    def weight(self) -> Tensor:
        return (self.coefficients @ self.atoms.flatten(1)).view(self.out_channels, *self.filter_shape)

    @property
    def basis(self) -> Tensor:
        return self.atoms

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return (
            Stage(self.in_channels * self.atoms.numel() * pixels, reads_input=True),
            Stage(self.coefficients.numel() * pixels),
        )

    def fit_(self, conv: nn.Conv2d, init: str) -> None:
        # in double on the CPU: the same filters on every device, and in half precision too
        kernels = conv.weight.detach().to("cpu", torch.float64).reshape(-1, self.taps)  # (N c/g, k^2)
        atoms = torch.linalg.svd(kernels, full_matrices=False).Vh[: len(self.atoms)]  # of few kernels fewer than M
        self.coefficients.zero_().view(len(kernels), -1)[:, : len(atoms)] = kernels @ atoms.T
        self.atoms.zero_().view(-1, self.taps)[: len(atoms)] = atoms
        if self.bias is not None and conv.bias is not None:
            self.bias.copy_(conv.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, atoms={len(self.atoms)}"
