"""The coefficients A (S x P) that make S secondary filters from P primary ones.

Source: Kahatapitiya & Rodrigo, WACV 2021, section 3: full A (-L, -Lr), A = C R (-LRr), masked A (-LSr).
Each kind is one small module with the same interface; `LinearConv2d` does not know which it holds.
"""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from linconv.config.rules import rank_of
from linconv.layers.arguments import Factory, pointwise


class Coefficients(nn.Module, abc.ABC):
    """Linear combinations of P rows, `primaries`, into S rows, `secondaries`.

    `stages` are the multiply-accumulates that combine one column of P values, per matrix product. Their sum,
    `macs_per_column`, is spent D times in weight space (once per step), once per pixel and image in feature space.
    """

    primaries: int
    secondaries: int
    stages: tuple[int, ...]
    init: str = "paper"

    @abc.abstractmethod
    def matrix(self) -> Tensor:
        """A itself, (S, P)."""

    @abc.abstractmethod
    def combine(self, primary: Tensor) -> Tensor:
        """A @ primary: (P, D) -> (S, D)."""

    @abc.abstractmethod
    def pointwise(self, features: Tensor, bias: Tensor | None = None) -> Tensor:
        """A applied to the channels of `features`, (n, P, h, w) or (P, h, w), plus a bias (S)."""

    @abc.abstractmethod
    def fit_(self, matrix: Tensor, primary: Tensor) -> None:
        """Take over a given A (S, P), as closely as this kind can, for the given primary filters (P, D)."""

    @abc.abstractmethod
    def reset_parameters(self) -> None:
        """Draw as `init` says: "paper", U(-0.1, 0.1), or "variance_preserving", giving the primaries' variance."""

    @property
    def macs_per_column(self) -> int:
        """Multiply-accumulates that combine one column of P values."""
        return sum(self.stages)

    @property
    def paper_flops_per_column(self) -> int:
        """Multiplications and additions of the same, as the paper's Table 1 counts: 2 K - 1 for a sum of K products."""
        raise NotImplementedError

    @property
    def params_expected(self) -> int:
        """The number of coefficients, for sparse ones at the wanted sparsity."""
        return sum(p.numel() for p in self.parameters())

    @property
    def params_nonzero(self) -> int:
        """The number of coefficients that are in use now."""
        return sum(p.numel() for p in self.parameters())


def _uniform_(tensor: Tensor, variance: float) -> None:
    nn.init.uniform_(tensor, -((3 * variance) ** 0.5), (3 * variance) ** 0.5)


class FullCoefficients(Coefficients):
    """One free coefficient per pair of primary and secondary filter: S P parameters."""

    def __init__(self, primaries: int, secondaries: int, factory: Factory) -> None:
        super().__init__()
        self.primaries, self.secondaries = primaries, secondaries
        self.stages = (secondaries * primaries,)
        self.weight = factory.parameter(secondaries, primaries)

    def reset_parameters(self) -> None:
        # Var(sum_p a_p v_p) = P Var(a) Var(v), hence Var(a) = 1 / P keeps the variance
        _uniform_(self.weight, 0.1**2 / 3 if self.init == "paper" else 1 / self.primaries)

    def matrix(self) -> Tensor:
        return self.weight

    def combine(self, primary: Tensor) -> Tensor:
        return self.matrix() @ primary  # (S, P) @ (P, D)

    def pointwise(self, features: Tensor, bias: Tensor | None = None) -> Tensor:
        return pointwise(features, self.matrix(), bias)

    @property
    def paper_flops_per_column(self) -> int:
        return (2 * self.primaries - 1) * self.secondaries

    @torch.no_grad()
    def fit_(self, matrix: Tensor, primary: Tensor) -> None:
        self.weight.copy_(matrix)


class SparseCoefficients(FullCoefficients):
    """Full coefficients under a mask; `SparsitySchedule` moves the mask towards the wanted `sparsity`.

    The mask is a boolean buffer that starts as True. A masked coefficient gets no gradient from the output, but
    its value is kept, so that a later mask may bring it back.
    """

    mask: Tensor

    def __init__(self, primaries: int, secondaries: int, sparsity: float, factory: Factory) -> None:
        super().__init__(primaries, secondaries, factory)
        self.sparsity = sparsity
        self.register_buffer("mask", torch.ones(secondaries, primaries, device=factory.device, dtype=torch.bool))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.mask.fill_(True)

    def matrix(self) -> Tensor:
        return self.weight * self.mask

    @torch.no_grad()
    def fit_(self, matrix: Tensor, primary: Tensor) -> None:
        """Keeps the coefficients that contribute most, |a| ||v||, and solves again for them; the others become 0."""
        keep = matrix.numel() - round(self.sparsity * matrix.numel())
        importance = (matrix.abs() * primary.norm(dim=1)).flatten()
        mask = torch.zeros_like(importance)
        mask[importance.topk(keep).indices] = 1
        self.mask.copy_(mask.view_as(matrix))
        gram = primary @ primary.T  # (P, P)
        target = matrix @ gram  # (S, P): right-hand sides of the normal equations, one per row of A
        self.weight.zero_()  # a value left under the mask would come back with the next update of the schedule
        for row, used in enumerate(self.mask):
            self.weight[row, used] = torch.linalg.lstsq(gram[used][:, used], target[row, used, None]).solution[:, 0]

    @property
    def params_expected(self) -> int:
        return self.weight.numel() - round(self.sparsity * self.weight.numel())

    @property
    def params_nonzero(self) -> int:
        return int(self.mask.count_nonzero())


class LowRankCoefficients(Coefficients):
    """A = C R with C (S x r), `left`, and R (r x P), `right`: r (S + P) parameters."""

    def __init__(self, primaries: int, secondaries: int, rank: int, factory: Factory) -> None:
        super().__init__()
        self.primaries, self.secondaries, self.rank = primaries, secondaries, rank
        self.stages = (rank * primaries, secondaries * rank)
        self.left = factory.parameter(secondaries, rank)
        self.right = factory.parameter(rank, primaries)

    def reset_parameters(self) -> None:
        # Var((C R)_sp) = r Var(c) Var(r'); 1 / P in all keeps the variance
        _uniform_(self.left, 0.1**2 / 3 if self.init == "paper" else 1 / self.rank)
        _uniform_(self.right, 0.1**2 / 3 if self.init == "paper" else 1 / self.primaries)

    def matrix(self) -> Tensor:
        return self.left @ self.right

    def combine(self, primary: Tensor) -> Tensor:
        return self.left @ (self.right @ primary)  # (S, r) @ ((r, P) @ (P, D))

    def pointwise(self, features: Tensor, bias: Tensor | None = None) -> Tensor:
        return pointwise(pointwise(features, self.right), self.left, bias)

    @property
    def paper_flops_per_column(self) -> int:
        return (2 * self.primaries - 1) * self.rank + (2 * self.rank - 1) * self.secondaries

    @torch.no_grad()
    def fit_(self, matrix: Tensor, primary: Tensor) -> None:
        """The best rank-r map onto the secondary filters themselves, not onto A: reduced-rank regression."""
        u, s, vh = torch.linalg.svd(matrix @ primary, full_matrices=False)
        k = min(self.rank, len(s))
        root = s[:k].sqrt()
        self.left.zero_()
        self.right.zero_()
        self.left[:, :k] = u[:, :k] * root
        self.right[:k] = (root[:, None] * vh[:k]) @ torch.linalg.pinv(primary)


def make_coefficients(
    primaries: int, secondaries: int, rank: int | float | None, sparsity: float | None, factory: Factory
) -> Coefficients:
    """The kind of coefficients that the options of `LinearConv2d` ask for, not yet drawn."""
    if rank is not None:
        return LowRankCoefficients(primaries, secondaries, rank_of(rank, primaries), factory)
    if sparsity is not None:
        return SparseCoefficients(primaries, secondaries, sparsity, factory)
    return FullCoefficients(primaries, secondaries, factory)
