"""Penalties that draw filters, or whole convolutions, towards orthogonality.

Sources: J. Wang, Y. Chen, R. Chakraborty, S. X. Yu, "Orthogonal Convolutional Neural Networks", CVPR 2020;
E. M. Achour, F. Malgouyres, F. Mamalet, "Existence, Stability and Scalability of Orthogonal Convolutional Neural
Networks", JMLR 23 (2022).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.layers.regularizers import CONVOLUTIONS, On, filters_of, total, without_autocast


def orthogonal_penalty(model: nn.Module, on: On = "primaries") -> Tensor:
    """Sum over layers of ||V V^T - I||_F for filters V (N, D), of ||V^T V - I||_F where N > D; a differentiable scalar.

    0 where the filters (N <= D), or else the columns of V, are orthonormal. The norm itself, not its square.

    Args:
        on: "primaries": the primary filters of LinearConv layers. "filters": all filters of every convolution.
    """
    norms = [_norm(_smaller_side(f.flatten(1)[None])) for _, _, f in filters_of(model, on)]
    return total(model, norms, f"orthogonal_penalty: the model has no {on}")


def conv_orthogonal_penalty(model: nn.Module, on: On = "primaries", *, skip_stem: bool = True) -> Tensor:
    """Sum over layers of ||conv(V, V; stride S) - I_0||_F, how far a convolution is from orthogonal; a differentiable
    scalar.

    A convolution with filters V (M, C, k, k) and stride S is a matrix with a row per output and a column per input.
    M <= C S^2 (no more outputs than inputs): its rows are orthonormal iff V, convolved with itself at stride S and
    padding floor((k - 1) / S) S, is the identity at the center and 0 elsewhere (Wang et al., lemma 1).
    M > C S^2: its columns are orthonormal iff the same holds at stride 1 for the transpose, whose C S^2 channels are
    those into which the stride deals the inputs. The squares of both norms differ by the constant M - C S^2 (Achour et
    al., section 3), but only the norm of the columns can become 0.

    Rows of different groups never meet: each group counts for itself. Dilation d only spreads the taps: the filters
    meet as the filters of an undilated convolution of stride S / gcd(S, d). A 1x1 kernel is a matrix, for which the
    penalty is that of `orthogonal_penalty`. Borders, where zero padding breaks orthogonality, are left out of account.

    This is the lemma, not the call of the authors' training scripts. Their `deconv_orth_dist` equals it with the
    padding above, and their `conv_orth_dist` at stride 1 where M > C. The scripts call the first with padding 1
    whatever the kernel and the stride: for k = 3 this leaves the outermost shifts out, at stride 2 it also puts the
    identity beside the center, and it never looks at columns. The norm is not squared, as in that code.

    Args:
        on: "primaries": the primary filters of LinearConv layers. "filters": all filters of every convolution.
        skip_stem: leave out the first convolution, in order of registration.
    """
    stem = next((m for m in model.modules() if isinstance(m, CONVOLUTIONS)), None) if skip_stem else None
    norms, found = [], False
    for _, module, filters in filters_of(model, on):
        found = True
        if module is not stem:
            size = group_size(module, filters)
            blocks = _by_group(filters, size)
            norms.append(_norm([d for block in blocks for d in _deviations(block, effective_stride(module))]))
    where = " outside of its first convolution, which skip_stem leaves out" if found else ""
    nothing = f"conv_orthogonal_penalty: the model has no {on}{where}"
    return total(model, norms, nothing)


def effective_stride(module: Any) -> tuple[int, int]:
    """The stride at which an undilated convolution's filters meet each other as this one's do: S / gcd(S, d)."""
    (sh, sw), (dh, dw) = module.stride, module.dilation
    return sh // math.gcd(sh, dh), sw // math.gcd(sw, dw)


def group_size(module: Any, filters: Tensor) -> int:
    """The filters that meet the same inputs; a basis may hold more than the layer has outputs."""
    return module.out_channels // module.groups if module.groups > 1 else len(filters)


def _by_group(filters: Tensor, size: int) -> list[Tensor]:
    """(N, c, kh, kw) -> whole groups (g, size, c, kh, kw), and (1, rest, c, kh, kw) if primaries fill part of one."""
    whole = len(filters) // size
    blocks = [filters[: whole * size].unflatten(0, (whole, size)), filters[None, whole * size :]]
    return [block for block in blocks if block.numel()]


def _deviations(filters: Tensor, stride: tuple[int, int]) -> list[Tensor]:
    """What the convolutions of (g, M, c, kh, kw) filters lack to being orthogonal: all of one's entries per group."""
    (rows, channels, *kernel) = filters.shape[1:]
    if kernel == [1, 1]:
        return _smaller_side(filters.flatten(2))
    if rows > channels * math.prod(stride):
        filters, stride = _columns(filters, stride), (1, 1)
    return _self_convolution(filters, stride)


def _columns(filters: Tensor, stride: tuple[int, int]) -> Tensor:
    """(g, M, c, kh, kw) at a stride (sh, sw) -> (g, c sh sw, M, jh, jw) at stride 1: the filters of the transpose.

    The taps are dealt to the places of an input block, which become channels, and both sides change roles.
    """
    (sh, sw), (kh, kw) = stride, filters.shape[-2:]
    padded = F.pad(filters, (0, -kw % sw, 0, -kh % sh))
    dealt = padded.unflatten(-1, (-1, sw)).unflatten(-3, (-1, sh))  # (g, M, c, jh, sh, jw, sw)
    return dealt.permute(0, 2, 4, 6, 1, 3, 5).flatten(1, 3)


def _self_convolution(filters: Tensor, stride: tuple[int, int]) -> list[Tensor]:
    """conv(V, V) - I_0 of (g, R, Q, kh, kw) filters: (g, R, R) for every shift by the stride at which two overlap.

    Of a shift and its opposite, each the other's transpose, there is one, times sqrt(2): the norm stays. Only the
    overlap is multiplied, a fifth of the work of a padded convolution.
    """
    (sh, sw), (kh, kw) = stride, filters.shape[-2:]
    identity = torch.eye(filters.shape[1], dtype=filters.dtype, device=filters.device)
    deviations = []
    for dh, dw in _half_of_shifts(kh, kw, sh, sw):
        ahead = filters[..., dh:, max(dw, 0) : kw + min(dw, 0)].flatten(2)
        behind = filters[..., : kh - dh, max(-dw, 0) : kw - max(dw, 0)].flatten(2)
        with without_autocast(filters):
            products = ahead @ behind.mT  # (g, R, R)
        deviations.append(products - identity if dh == dw == 0 else math.sqrt(2) * products)
    return deviations


def _half_of_shifts(kh: int, kw: int, sh: int, sw: int) -> Iterator[tuple[int, int]]:
    """Multiples of the stride below the kernel's size, one of each pair of opposites, and (0, 0)."""
    widest = (kw - 1) // sw * sw
    for dh in range(0, kh, sh):
        for dw in range(-widest if dh else 0, kw, sw):
            yield dh, dw


def _smaller_side(filters: Tensor) -> list[Tensor]:
    """V V^T - I, or V^T V - I where N > D, of (g, N, D) filters."""
    rows = filters if filters.shape[1] <= filters.shape[2] else filters.mT
    return _self_convolution(rows[..., None, None], (1, 1))


def _norm(deviations: list[Tensor]) -> Tensor:
    return torch.linalg.vector_norm(torch.cat([d.flatten() for d in deviations]))
