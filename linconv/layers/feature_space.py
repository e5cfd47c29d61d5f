"""LinearConv at inference, in feature space, made of plain convolutions: what engines and exports understand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from linconv.layers.coefficients import LowRankCoefficients
from linconv.layers.geometry import geometry
from linconv.layers.linear_conv import LinearConv2d


class _TwoConvolutions(nn.Module):
    """A plain convolution and what combines its feature maps, with the attributes of the `nn.Conv2d` that both equal.

    Models ask a convolution for its stride, its kernel size or the dtype of its weight, such as those that pad by hand.

    Attributes:
        primary: the convolution with the P primary filters; it has the geometry.
        combine: one or two convolutions of 1x1 pixels.
    """

    transposed = False
    output_padding = (0, 0)
    __jit_unused_properties__ = ("weight", "bias")

    def __init__(self, primary: nn.Conv2d, combine: nn.Module) -> None:
        super().__init__()
        self.primary, self.combine = primary, combine
        for name, value in geometry(primary).items():
            setattr(self, name, value)
        self.out_channels = len(self._joined(primary.weight.new_zeros(primary.out_channels, 1, 1)))

    @property
    def weight(self) -> Tensor:
        """(N, c/g, kh, kw): the filters of the convolution, computed."""
        filters = self.primary.weight
        columns = filters.flatten(1)[None, :, :, None]  # (1, P, D, 1)
        return (self._joined(columns) - self._joined(torch.zeros_like(columns)))[0].reshape(-1, *filters.shape[1:])

    @property
    def bias(self) -> Tensor | None:
        """(N,), computed; None without one."""
        last = list(self.combine.modules())[-1]
        if self.primary.bias is None and last.bias is None:
            return None
        filters = self.primary.weight
        first = filters.new_zeros(len(filters)) if self.primary.bias is None else self.primary.bias
        return self._joined(first[None, :, None, None]).flatten()

    def _joined(self, features: Tensor) -> Tensor:
        """(n, P, h, w) -> (n, N, h, w), or without n."""
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, N, h', w'), or without n."""
        return self._joined(self.primary(input))


class FeatureSpace2d(_TwoConvolutions):
    """y = V * x + b1, then [y; A y + (b2 - A b1)]: a LinearConv whose biases are in its convolutions.

    Attributes:
        primary: the convolution with the P primary filters and their bias b1.
        combine: A as a 1x1 convolution (P to S), or as two of them (P to r to S) for low-rank coefficients.
    """

    def _joined(self, features: Tensor) -> Tensor:
        return torch.cat([features, self.combine(features)], dim=-3)


class Product2d(_TwoConvolutions):
    """[I; A] (V * x) + b: a LinearConv as one convolution behind another.

    Attributes:
        primary: the convolution with the P primary filters, without a bias.
        combine: [I; A] as a 1x1 convolution (P to N), with the bias.
    """

    def _joined(self, features: Tensor) -> Tensor:
        output: Tensor = self.combine(features)
        return output


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
def product_form(layer: LinearConv2d, scale: Tensor | None = None, shift: Tensor | None = None) -> Product2d:
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
    combine = _pointwise(stacked, bias).to(layer.primary_filters.dtype)
    return Product2d(_primary(layer, layer.primary_filters, None), combine).train(layer.training)


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
