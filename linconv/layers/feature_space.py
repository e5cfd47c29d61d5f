"""LinearConv at inference, in feature space, made of plain convolutions: what engines and exports understand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from linconv.layers.coefficients import LowRankCoefficients
from linconv.layers.geometry import geometry
from linconv.layers.linear_conv import LinearConv2d


class FeatureSpace2d(nn.Module):
    """y = V * x + b1, then [y; A y + (b2 - A b1)]: a LinearConv whose biases are in its convolutions.

    Attributes:
        primary: the convolution with the P primary filters and their bias b1.
        combine: A as a 1x1 convolution (P to S), or as two of them (P to r to S) for low-rank coefficients.
    """

    def __init__(self, primary: nn.Conv2d, combine: nn.Module) -> None:
        super().__init__()
        self.primary, self.combine = primary, combine

    def forward(self, input: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, N, h', w'), or without n."""
        features = self.primary(input)
        return torch.cat([features, self.combine(features)], dim=-3)


@torch.no_grad()
def feature_space(layer: LinearConv2d) -> FeatureSpace2d:
    """A LinearConv without groups as plain convolutions with the same outputs up to rounding."""
    filters, matrix = layer.primary_filters, layer.coefficients.matrix()
    bias = rest = None
    if layer.bias is not None:
        bias, second = layer.bias.double().split([layer.primaries, layer.coefficients.secondaries])
        rest = second - matrix.double() @ bias
    if isinstance(layer.coefficients, LowRankCoefficients):
        combine: nn.Module = nn.Sequential(
            _pointwise(layer.coefficients.right), _pointwise(layer.coefficients.left, rest)
        )
    else:
        combine = _pointwise(matrix, rest)
    return FeatureSpace2d(_primary(layer, filters, bias), combine).train(layer.training)


@torch.no_grad()
def product_form(layer: LinearConv2d, scale: Tensor | None = None, shift: Tensor | None = None) -> nn.Sequential:
    """A LinearConv without groups, then g y + t by channel: a convolution with V and one with G [I; A].

    It takes P P multiply-accumulates per pixel more than feature space and joins nothing: engines keep it in int8,
    where they convert what is joined. Any scale may be 0.

    Args:
        scale, shift: g and t, (N,); None for 1 and 0.
    """
    matrix = layer.coefficients.matrix().double()
    stacked = torch.cat([torch.eye(layer.primaries, dtype=matrix.dtype, device=matrix.device), matrix])  # (N, P)
    bias = None if layer.bias is None else layer.bias.double()
    if scale is not None and shift is not None:
        stacked, bias = scale[:, None] * stacked, shift if bias is None else scale * bias + shift
    both = nn.Sequential(_primary(layer, layer.primary_filters, None), _pointwise(stacked, bias))
    both[1].to(layer.primary_filters.dtype)
    return both.train(layer.training)


def _primary(layer: LinearConv2d, filters: Tensor, bias: Tensor | None) -> nn.Conv2d:
    shape: dict[str, Any] = geometry(layer) | {"out_channels": layer.primaries}
    return _filled(nn.Conv2d(**shape, bias=bias is not None, device="meta"), filters, bias)


def _pointwise(matrix: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """The 1x1 convolution with a matrix (M, K) and a bias (M)."""
    rows, columns = matrix.shape
    conv = nn.Conv2d(columns, rows, 1, bias=bias is not None, device="meta")
    return _filled(conv, matrix[:, :, None, None], bias)


def _filled(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    conv.weight = nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach().to(weight.dtype))
    return conv
