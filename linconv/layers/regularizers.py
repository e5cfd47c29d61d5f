"""Penalties on the filters of convolutions and on the coefficients of LinearConv layers.

Source of the correlation regularizer: Kahatapitiya & Rodrigo, WACV 2021, section 3:
lambda * sum over layers of sum_ij |corr(V)_ij - I_ij|, lambda = 0.01, on every 10th batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from linconv.layers.coefficients import SparseCoefficients
from linconv.layers.geometry import in_channels_last
from linconv.layers.replacement import ConvReplacement

On = Literal["primaries", "filters"]
# What has filters: whatever brings `weight` (N, c/g, kh, kw) and the geometry of nn.Conv2d.
CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv2d, ConvReplacement)


def filters_of(model: nn.Module, on: On) -> Iterator[tuple[str, Any, Tensor]]:
    """Name, layer and filters, (N, c/g, kh, kw), of every layer that a penalty acts on, in order of registration.

    Args:
        on: "primaries": the primary filters of LinearConv layers, the basis of other replacements. "filters": all
            filters of every convolution, plain or not, where it has some. Half precision comes in single precision.

    Raises:
        ValueError: `on` is neither.
    """
    if on not in ("primaries", "filters"):
        raise ValueError(f"on must be 'primaries' or 'filters', not {on!r}")
    for name, module in model.named_modules():
        if on == "primaries":
            if isinstance(module, ConvReplacement) and module.basis is not None:
                yield name, module, full_precision(module.basis)
        elif isinstance(module, nn.Conv2d) or (isinstance(module, ConvReplacement) and module.folds):
            yield name, module, full_precision(module.weight)


def correlation_penalty(
    model: nn.Module,
    mode: Literal["paper", "normalized", "normalised"] = "paper",
    eps: float = 1e-6,
    *,
    on: On = "primaries",
) -> Tensor:
    """How far the filters of every layer are from being uncorrelated; a differentiable scalar.

    Centered filters of D values allow at most D - 1 uncorrelated ones, so the penalty cannot reach 0 where P >= D.

    Args:
        mode: "paper": the sum over all layers and ordered pairs i != j of |corr_ij|. "normalized": the mean over
            the pairs of a layer, averaged over the layers: between 0 and 1, whatever the network's size.
        eps: a filter whose centered norm is not above this counts as uncorrelated and gets no gradient.
        on: "primaries": the primary filters of LinearConv layers, as in the paper. "filters": all filters of every
            convolution, plain ones included, which the paper does not try.

    Raises:
        ValueError: an unknown mode or `on`.
    """
    if mode not in ("paper", "normalized", "normalised"):  # the last is the spelling of older configurations
        raise ValueError(f"mode must be 'paper' or 'normalized', not {mode!r}")
    normalized = mode != "paper"
    sums, found = [], False
    for _, _, filters in filters_of(model, on):
        found = True
        if len(filters) > 1:
            layer_sum = abs_correlation_sum(_rows(filters), eps)
            sums.append(layer_sum / (len(filters) * (len(filters) - 1)) if normalized else layer_sum)
    nothing = None if found else f"correlation_penalty: the model has no {on}"
    return total(model, sums, nothing) / len(sums) if sums and normalized else total(model, sums, nothing)


def coefficient_l1(model: nn.Module) -> Tensor:
    """The sum of |A| over all sparse coefficients of the model; a differentiable scalar."""
    sums = [m.weight.abs().sum() for m in model.modules() if isinstance(m, SparseCoefficients)]
    return total(model, sums, "coefficient_l1: the model has no sparse coefficients")


def total(model: nn.Module, sums: list[Tensor], nothing: str | None = None) -> Tensor:
    """The sum of scalars; of none a zero where the model is, with the warning `nothing`."""
    if sums:
        return torch.stack(sums).sum()
    if nothing is not None and not torch.compiler.is_compiling():
        warnings.warn(f"{nothing}; the penalty is 0", stacklevel=3)
    return next((p.new_zeros(()) for p in model.parameters()), torch.zeros(()))


def full_precision(filters: Tensor) -> Tensor:
    """Single precision for half: correlations and norms lose their meaning in 8 bits of mantissa."""
    return filters.float() if filters.dtype in (torch.float16, torch.bfloat16) else filters


def without_autocast(tensor: Tensor) -> AbstractContextManager[Any]:
    """Autocast is off for the tensor's device; the meta device has none."""
    return nullcontext() if tensor.is_meta else torch.autocast(tensor.device.type, enabled=False)


def abs_correlation_sum(filters: Tensor, eps: float = 1e-6) -> Tensor:
    """Sum over i != j of the absolute Pearson correlation between rows i and j of (P, D) filters; a scalar.

    The backward pass is exact, one matrix product, and keeps P^2 + P values between the passes. Where it is
    itself differentiated it computes these values again.
    """
    with without_autocast(filters):
        return _AbsCorrelationSum.apply(full_precision(filters), eps)[0]


def _rows(filters: Tensor) -> Tensor:
    """(N, c/g, kh, kw) as (N, D), a filter per row, in the order in which they lie in memory."""
    if in_channels_last(filters):
        return filters.permute(0, 2, 3, 1).flatten(1)
    return filters.flatten(1)


def _parts(filters: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The sum, a scalar, the matrix T of its derivative, (P, P), and the means of the (P, D) filters, (P, 1).

    With C the centered filters and n_i = 1 / |c_i| (0 for a constant one): corr_ij = n_i n_j c_i c_j. The derivative of
    the sum by the rows of C is 2 T C, T_ij = sign(corr_ij) n_i n_j off the diagonal, T_ii = -n_i^2 sum_j |corr_ij| from
    the normalization. Centering projects the derivative onto rows of mean 0; the rows of T C have mean 0 already.
    """
    mean = filters.mean(dim=1, keepdim=True)
    centered = filters - mean
    gram = centered @ centered.T
    square = gram.diagonal()
    varies = square > eps**2
    norm = torch.where(varies, square, 1).sqrt()  # no inf * 0 in the second derivative
    inverse = torch.where(varies, 1 / norm, 0)
    scale = inverse[:, None] * inverse
    correlation = (gram * scale).abs()
    sums = correlation.sum(dim=1) - correlation.diagonal()
    toward = gram.sign() * scale
    toward = toward - torch.diag_embed(toward.diagonal() + sums * inverse.square())
    return sums.sum(), toward, mean


class _AbsCorrelationSum(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(filters: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        return _parts(filters, eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: tuple[Tensor, Tensor, Tensor]) -> None:
        filters, ctx.eps = inputs
        _, toward, mean = output
        ctx.mark_non_differentiable(toward, mean)
        ctx.set_materialize_grads(False)  # no zeros for outputs that have no gradient
        ctx.save_for_backward(filters, toward, mean)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, None]:
        if grad is None:
            return None, None
        filters, toward, mean = ctx.saved_tensors
        with without_autocast(filters):
            if torch.is_grad_enabled():  # the saved ones are constants to autograd
                toward, mean = _parts(filters, ctx.eps)[1:]
            toward = 2 * grad * toward
            return torch.addmm(-(toward @ mean), toward, filters), None
