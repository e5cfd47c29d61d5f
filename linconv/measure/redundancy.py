"""How redundant the filters of a network are."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from linconv.layers import ConvReplacement
from linconv.measure.trace import CONVOLUTIONS, trace
from linconv.results import LayerRedundancy


class FilterBank(NamedTuple):
    """A convolution's filters, (N, D), its 1-based position in the order of execution, and its primaries, if any.

    `kernel_area` is k^2, the numbers of one k x k kernel: a row of `filters` is D / k^2 kernels, one per input channel.
    """

    position: int
    layer: str
    filters: Tensor
    primaries: int | None
    kernel_area: int = 1


@torch.no_grad()
def filter_banks(model: nn.Module, input_shape: tuple[int, int, int]) -> list[FilterBank]:
    """The filters of every convolution, plain or not, in the order in which they first run on a (c, h, w) image.

    Of a replacement that equals no plain convolution, the filters that it learns instead; none where it has no basis.
    """
    seen: dict[str, nn.Module] = {}
    for call in trace(model, input_shape):
        if isinstance(call.module, CONVOLUTIONS):
            seen.setdefault(call.name, call.module)
    found = ((i, name, module, _filters(module)) for i, (name, module) in enumerate(seen.items(), start=1))
    return [
        _bank(i, name, filters.detach(), getattr(module, "primaries", None))
        for i, name, module, filters in found
        if filters is not None
    ]


def _filters(module: nn.Module) -> Tensor | None:
    if isinstance(module, ConvReplacement) and not module.folds:
        return module.basis
    return module.weight  # type: ignore[return-value]


def _bank(position: int, layer: str, weight: Tensor, primaries: int | None) -> FilterBank:
    filters = weight.flatten(1).double().cpu()
    return FilterBank(position, layer, filters, primaries, math.prod(weight.shape[2:]))


def correlation_matrix(filters: Tensor) -> Tensor:
    """Pearson correlations between the rows of (N, D) filters, (N, N); a constant filter correlates with none.

    The diagonal is 1, or 0 for a constant filter.
    """
    return _cosines(filters - filters.mean(dim=1, keepdim=True))


def _cosines(filters: Tensor) -> Tensor:
    norm = filters.norm(dim=1, keepdim=True)
    unit = torch.where(norm > 1e-12, filters / norm.clamp_min(1e-12), 0)
    return (unit @ unit.T).clamp(-1, 1)


def effective_rank(filters: Tensor) -> float:
    """exp(H) of the singular values of (N, D) filters, normalized to sum 1 (Roy & Vetterli, EUSIPCO 2007).

    Between 1 (all filters are multiples of one) and min(N, D); 0 for filters that are all zero.
    """
    singular = torch.linalg.svdvals(filters)
    if singular.sum() == 0:
        return 0.0
    p = singular / singular.sum()
    return float(torch.exp(torch.special.entr(p).sum()))


def variance_entropy(filters: Tensor) -> float | None:
    """Entropy of the shares of variance that the principal components of (N, D) filters explain, in [0, 1].

    1 where all directions matter alike, 0 where one holds all variance; divided by the entropy of as many equal
    shares as there can be components, min(N - 1, D). None for fewer than two components or filters that are all equal.
    Source: Gavrikov & Keuper, CNN Filter DB, CVPR 2022, who take single k x k kernels and do not divide.
    """
    components = min(len(filters) - 1, filters.shape[1])
    variance = torch.linalg.svdvals(filters - filters.mean(dim=0)).square()[: max(components, 0)]
    if components < 2 or variance.sum() <= 1e-24 * filters.square().sum():
        return None
    return float(torch.special.entr(variance / variance.sum()).sum() / math.log(components))


def kernel_sparsity(kernels: Tensor, threshold: float = 0.01) -> float:
    """Share of (n, k^2) kernels whose numbers are all below `threshold` times the largest of all, in absolute value.

    1 where all are zero. Source: Gavrikov & Keuper, CNN Filter DB, CVPR 2022.
    """
    size = kernels.abs()
    if size.max() == 0:
        return 1.0
    return float((size < threshold * size.max()).all(dim=1).double().mean())


def kernel_variance_entropy(kernels: Tensor) -> float | None:
    """Entropy (base 10) of the shares of variance that the principal components of (n, k^2) kernels explain.

    Between 0 (one direction holds all) and log10 k^2 (all alike). None for 1x1 kernels and for kernels that are all
    equal. Source: Gavrikov & Keuper, CNN Filter DB, CVPR 2022.
    """
    centred = kernels - kernels.mean(dim=0)
    # the squared singular values of the long matrix, from the short one
    variance = torch.linalg.eigvalsh(centred.T @ centred).clamp_min(0)
    if kernels.shape[1] < 2 or variance.sum() <= 1e-24 * kernels.square().sum():
        return None
    return float(torch.special.entr(variance / variance.sum()).sum() / math.log(10))


def orthogonality(filters: Tensor) -> float | None:
    """1 minus the mean over i != j of |cos| between rows of (N, D) filters; 1: all orthogonal, 0: all parallel.

    A zero filter is orthogonal to all. None for a single filter. Source: Gavrikov & Keuper, CNN Filter DB, CVPR 2022.
    """
    cosines = _mean(_pairs(_cosines(filters)))
    return None if cosines is None else 1 - cosines


def redundancy(bank: FilterBank) -> LayerRedundancy:
    """The redundancy of one convolution; see `linconv.results.LayerRedundancy` for the numbers."""
    correlations = _pairs(correlation_matrix(bank.filters))
    kernels = bank.filters.reshape(-1, bank.kernel_area)
    primary = None
    if bank.primaries is not None:
        primary = _pairs(correlation_matrix(bank.filters[: bank.primaries]))
    return LayerRedundancy(
        layer=bank.layer,
        position=bank.position,
        filters=bank.filters.shape[0],
        filter_size=bank.filters.shape[1],
        mean_abs_correlation=_mean(correlations),
        **{f"share_above_0_{tenths}": _share_above(correlations, tenths / 10) for tenths in (3, 5, 7, 9)},
        effective_rank=effective_rank(bank.filters),
        variance_entropy=variance_entropy(bank.filters),
        kernel_sparsity=kernel_sparsity(kernels),
        kernel_variance_entropy=kernel_variance_entropy(kernels),
        orthogonality=orthogonality(bank.filters),
        primaries=bank.primaries,
        primary_mean_abs_correlation=None if primary is None else _mean(primary),
    )


def _pairs(correlation: Tensor) -> Tensor:
    """|corr| of each pair i < j, (N (N - 1) / 2,)."""
    i, j = torch.triu_indices(len(correlation), len(correlation), offset=1, device=correlation.device)
    return correlation[i, j].abs()


def _share_above(values: Tensor, threshold: float) -> float | None:
    return _mean((values > threshold).double())


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None
