"""The control without which no claim about redundancy stands: the plain network, only narrower."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from linconv.config.variants import Variant
from linconv.layers import ConvReplacement

BISECTIONS = 40


def matching_width(
    build_variant: Callable[[Variant], nn.Module],
    build_plain: Callable[..., nn.Module],
    narrow_to: Variant | float,
) -> float:
    """The width by which the plain network has the parameters of a variant, or that share of its own.

    Every number of channels is multiplied and rounded, so the count grows in small steps; the nearest one below or
    above is taken: half and a quarter of each of the seven networks come within a percent.

    Args:
        build_variant: makes the network of a variant.
        build_plain: makes the plain network; takes `width`.
    """
    with torch.device("meta"):  # counting needs no numbers
        if isinstance(narrow_to, Variant):
            wanted = float(count_expected(build_variant(narrow_to)))
        else:
            wanted = narrow_to * count_expected(build_plain())

        def excess(width: float) -> float:
            return count_expected(build_plain(width=width)) - wanted

        low, high = 0.0, 1.0
        while excess(high) < 0:
            high *= 2
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) < 0 else (low, middle)
        return min((low, high), key=lambda width: abs(excess(width)))


def count_expected(model: nn.Module) -> int:
    """The parameters of a network, sparse coefficients counted at the wanted sparsity."""
    replaced = [m for m in model.modules() if isinstance(m, ConvReplacement)]
    fewer = sum(m.params_expected - sum(p.numel() for p in m.parameters()) for m in replaced)
    return sum(p.numel() for p in model.parameters()) + fewer
