"""Weighted convolution: filters multiplied by a density of the distance from the kernel's center.

Source: S. Cammarasana, G. Patanè, "Optimal Weighted Convolution for Classification and Denosing", arXiv 2505.24558,
2025. There the density is a constant found by a search around the training. With `learned` it is the layer of the
authors' later code, wConv_Trainable in weightedConvolution2.0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from linconv.config.rules import is_number
from linconv.layers import SOURCE, ConvReplacement, Factory, ParameterRule, Rule, UnsupportedConvError


def _is_density(density: Any) -> bool:
    values = density if isinstance(density, list | tuple) else [density]
    return len(values) > 0 and all(is_number(value) and value > 0 for value in values)


DENSITY = Rule("a number above 0, or one for each distance", _is_density)


class WConv2d(ConvReplacement):
    """W = F * (a b^T), elementwise, F (N, c/g, kh, kw); N D parameters, and (k - 1) / 2 where the density is learned.

    The densities a of rows and b of columns are symmetric, 1 in the middle, and share one value for each distance from
    it.

    Args:
        density: the values at the distances 1, 2, ... from the center, as many as the longer side needs, or one number
            for all of them; where it learns, the values it starts from.
        learned: whether the density is trained with the filters.
        init: "matched" draws the filters W with the standard deviation of `nn.Conv2d`'s or of those replaced; "source"
            draws the parameters as the authors' code does, whatever scale that gives; "least_squares", in
            `from_conv2d`, starts from the given filters W, exactly: F = W / (a b^T).

    Raises:
        UnsupportedConvError: a kernel with an even side, which has no center, a 1x1 kernel, or a kernel with more or
            fewer distances than `density` has values.
    """

    inits = ("matched", SOURCE)
    fits = ("least_squares",)
    scaled = ("filters",)
    density: Tensor

    def build(
        self,
        factory: Factory,
        *,
        density: Annotated[float | Sequence[float], DENSITY] = 0.8,
        learned: bool = False,
        init: str = "matched",
    ) -> None:
        self.init = init
        height, width = self.kernel_size
        if height % 2 == 0 or width % 2 == 0:
            raise UnsupportedConvError(f"a {height}x{width} kernel has no center to measure distances from")
        if height == width == 1:
            raise UnsupportedConvError("a 1x1 kernel has a center alone, where the density is 1")
        distances = max(height, width) // 2
        values = list(density) if isinstance(density, Sequence) else [density] * distances
        if len(values) != distances:
            needs = f"a {height}x{width} kernel needs {distances} value(s) of density"
            raise UnsupportedConvError(f"{needs}, not {len(values)}")
        self._start = [float(v) for v in values]
        self.filters = factory.parameter(self.out_channels, *self.filter_shape)
        if learned:
            self.density = factory.parameter(distances)
        else:
            self.register_buffer("density", factory.empty(distances))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        self.density.copy_(torch.tensor(self._start, device=self.density.device))
        if self.init == SOURCE:
            nn.init.kaiming_normal_(self.filters, mode="fan_out", nonlinearity="relu")
        else:
            nn.init.kaiming_uniform_(self.filters, a=math.sqrt(5))
            # W with the variance of nn.Conv2d's filters
            self.filters.div_(self._weights().square().mean().sqrt())
        self.reset_bias()

    def _weights(self) -> Tensor:
        """a b^T, (kh, kw)."""
        one = self.density.new_ones(1)
        sides = (self.density[: size // 2] for size in self.kernel_size)
        rows, columns = (torch.cat([side.flip(0), one, side]) for side in sides)
        return torch.outer(rows, columns)

    @property
    def weight(self) -> Tensor:
        return self.filters * self._weights()

    def fit_(self, conv: nn.Conv2d, init: str) -> None:
        self.filters.copy_(conv.weight / self._weights())
        if self.bias is not None and conv.bias is not None:
            self.bias.copy_(conv.bias)

    @property
    def basis(self) -> Tensor:
        return self.weight

    @property
    def parameter_rules(self) -> dict[str, ParameterRule]:
        """A learned density does not decay: 0 is not where it is neutral."""
        return {"density": ParameterRule(decays=False)} if isinstance(self.density, nn.Parameter) else {}

    def extra_repr(self) -> str:
        learned = isinstance(self.density, nn.Parameter)
        return f"{super().extra_repr()}, distances={self.density.numel()}, learned={learned}"
