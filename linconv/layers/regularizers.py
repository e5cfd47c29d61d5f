"""Penalties on the filters and coefficients of LinearConv layers.

Source of the correlation regulariser: Kahatapitiya & Rodrigo, WACV 2021, section 3:
lambda * sum over layers of sum_ij |corr(V)_ij - I_ij|, lambda = 0.01, on every 10th batch.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from linconv.layers.coefficients import SparseCoefficients
from linconv.layers.linear_conv import LinearConv2d


def correlation_penalty(model: nn.Module, mode: Literal["paper", "normalised"] = "paper", eps: float = 1e-6) -> Tensor:
    """How far the primary filters of every LinearConv layer are from being uncorrelated; a differentiable scalar.

    Centred filters of D numbers allow at most D - 1 uncorrelated ones, so the penalty cannot reach 0 where P >= D.

    Args:
        mode: "paper": the sum over all layers and ordered pairs i != j of |corr_ij|. "normalised": the mean over
            the pairs of a layer, averaged over the layers: between 0 and 1, whatever the network's size.
        eps: a filter whose centred norm is not above this counts as uncorrelated and gets no gradient.

    Raises:
        ValueError: an unknown mode.
    """
    if mode not in ("paper", "normalised"):
        raise ValueError(f"mode must be 'paper' or 'normalised', not {mode!r}")
    sums = []
    for module in model.modules():
        if isinstance(module, LinearConv2d) and module.primaries > 1:
            total = abs_correlation_sum(module.primary_filters.flatten(1), eps)
            pairs = module.primaries * (module.primaries - 1)
            sums.append(total / pairs if mode == "normalised" else total)
    if not sums:
        return _zero(model)
    return torch.stack(sums).mean() if mode == "normalised" else torch.stack(sums).sum()


def coefficient_l1(model: nn.Module) -> Tensor:
    """The sum of |A| over all sparse coefficients of the model; a differentiable scalar."""
    sums = [m.weight.abs().sum() for m in model.modules() if isinstance(m, SparseCoefficients)]
    return torch.stack(sums).sum() if sums else _zero(model)


def abs_correlation_sum(filters: Tensor, eps: float = 1e-6) -> Tensor:
    """Sum over i != j of the absolute Pearson correlation between rows i and j of (P, D) filters; a scalar.

    The backward pass is exact, one matrix product, and keeps P^2 bytes between the passes.
    """
    with torch.autocast(filters.device.type, enabled=False):  # correlations lose their meaning in 8 bits of mantissa
        filters = filters.float() if filters.dtype in (torch.float16, torch.bfloat16) else filters
        return _AbsCorrelationSum.apply(filters, eps)[0]


def _unit_rows(filters: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Rows centred and scaled to norm 1 (0 where the norm is at most eps), and 1 / norm (0 there)."""
    centred = filters - filters.mean(dim=1, keepdim=True)
    norm = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    inverse = torch.where(norm > eps, 1 / norm.clamp_min(eps), 0)
    return centred * inverse, inverse


class _AbsCorrelationSum(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(filters: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        unit, _ = _unit_rows(filters, eps)
        correlation = (unit @ unit.T).tril(-1)  # symmetric: half of it says all, the diagonal says nothing
        sign = correlation.sign()
        return 2 * correlation.abs().sum(), (sign + sign.T).to(torch.int8)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: tuple[Tensor, Tensor]) -> None:
        filters, ctx.eps = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(filters, output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor, None]:
        filters, sign = ctx.saved_tensors
        unit, inverse = _unit_rows(filters, ctx.eps)
        toward = 2 * (sign.to(unit.dtype) @ unit)  # d sum|U U^T| / dU
        # the normalisation removes the part along the filter; centring changes nothing, rows of `unit` have mean 0
        along = (toward * unit).sum(dim=1, keepdim=True)
        return grad * inverse * (toward - along * unit), None


def _zero(model: nn.Module) -> Tensor:
    return next(model.parameters()).new_zeros(()) if any(True for _ in model.parameters()) else torch.zeros(())
