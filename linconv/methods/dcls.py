"""Dilated convolution with learnable spacings: a few weights per kernel, at positions that are learned.

Source: I. Khalfaoui-Hassani, T. Pellegrini, T. Masquelier, "Dilated Convolution with Learnable Spacings", ICLR 2023.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from linconv.config.rules import is_int
from linconv.layers import (
    SOURCE,
    ConvReplacement,
    Count,
    Factory,
    ParameterRule,
    Positive,
    Rule,
    UnsupportedConvError,
)
from linconv.layers.geometry import geometry

SPREAD = 0.5  # standard deviation of new positions in pixels, as in the source


def _is_size(size: Any) -> bool:
    sides = list(size) if isinstance(size, list | tuple) else [size, size]
    return len(sides) == 2 and all(is_int(side) and side > 0 for side in sides)


SIDES = Rule("an int of at least 1, or two", _is_size)


class DCLSConv2d(ConvReplacement):
    """W[n, c, y, x] = sum_m w_m t(y - p_m) t(x - q_m), t(d) = max(0, 1 - |d|), p and q learned; 3 m c N parameters.

    t spreads a weight over the four pixels around its position (bilinear interpolation). The layer is a convolution
    with the dilated kernel, padded further so that its output has the size that the replaced convolution's has;
    `kernel_size`, `padding` and `dilation` describe that larger convolution.

    Positions stay inside the kernel: `linconv.training` projects them after every step, as the source does, and trains
    them at a rate of their own without weight decay. A position beyond the border counts as on it. Its gradient is the
    one there, so that a training without projection can bring it back.

    Args:
        kernel_count: m, at least 1; None takes a third of the kernel, so that there are no more parameters than plain.
        dilated_kernel_size: the sides of the square or rectangle in which positions may lie, at least the reach of the
            replaced kernel and odd where that is odd; None takes the reach that twice the dilation would have.
        position_rate: the learning rate of positions as a multiple of the recipe's; 5 in the source.
        init: "matched" draws values that give outputs the variance which `nn.Conv2d`'s filters give them, or those
            replaced; "source" draws the values as the authors' package does.

    Raises:
        UnsupportedConvError: a 1x1 kernel.
    """

    inits = ("matched", SOURCE)

    def build(
        self,
        factory: Factory,
        *,
        kernel_count: Count | None = None,
        dilated_kernel_size: Annotated[int | Sequence[int], SIDES] | None = None,
        position_rate: Positive = 5.0,
        init: str = "matched",
    ) -> None:
        self.init = init
        if self.kernel_size == (1, 1):
            raise UnsupportedConvError("a 1x1 kernel has one weight, whose position would only shift the image")
        if kernel_count is None:
            kernel_count = max(1, math.prod(self.kernel_size) // 3)
        reach = [d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        size = _sides(dilated_kernel_size, reach)
        further = [(large - small) // 2 for large, small in zip(size, reach, strict=True)]
        padding: str | tuple[int, ...] = "same"
        if self.padding != "same":
            given = (0, 0) if isinstance(self.padding, str) else self.padding
            padding = tuple(inner + more for inner, more in zip(given, further, strict=True))
        larger = {"kernel_size": size, "padding": padding, "dilation": 1}
        self.set_geometry(**geometry(self) | larger)
        shape = (self.out_channels, self.in_channels // self.groups, kernel_count)
        self.values = factory.parameter(*shape)
        self.positions = factory.parameter(2, *shape)  # from the center: y, x
        self.position_rate = position_rate

    @torch.no_grad()
    def reset_parameters(self) -> None:
        nn.init.normal_(self.positions, std=SPREAD)
        self.project_()
        if self.init == SOURCE:
            nn.init.kaiming_uniform_(self.values, a=math.sqrt(5))
        else:
            nn.init.uniform_(self.values, -1, 1)
            # outputs with the variance that nn.Conv2d's filters give: the squares of a filter sum to 1/3
            self.values.div_((3 * self._energy()).sqrt())
        self.reset_bias()

    def _energy(self) -> Tensor:
        """The sum of the squares of a filter, averaged over the N."""
        return self.weight.square().sum() / self.out_channels

    def match_(self, conv: nn.Conv2d) -> None:
        # over more pixels, filters of the same standard deviation would make larger outputs
        drawn, wanted = float(self._energy()), float(conv.weight.square().sum() / self.out_channels)
        if drawn > 0 and math.isfinite(wanted):
            self.values.mul_(math.sqrt(wanted / drawn))

    @property
    def weight(self) -> Tensor:
        y, x = (self._tents(p, side) for p, side in zip(self.positions, self.kernel_size, strict=True))
        return (self.values[..., None] * y).transpose(-1, -2) @ x  # (N, c/g, Kh, Kw)

    def _tents(self, positions: Tensor, side: int) -> Tensor:
        """t(i - p) for every pixel i of a side and every position p, (N, c/g, m, side).

        On a pixel, where t has a kink, the gradient is that of a step towards higher positions, as in the source, and
        on the last pixel that of a step back.
        """
        if side == 1:
            return torch.ones_like(positions)[..., None]
        furthest = (side - 1) / 2
        # the value on the border, the gradient passed on
        inside = positions + (positions.clamp(-furthest, furthest) - positions).detach() + furthest
        before = inside.detach().floor().clamp(0, side - 2)
        beyond = (inside - before)[..., None]
        pixels = torch.arange(side, device=positions.device, dtype=positions.dtype) - before[..., None]
        return (pixels == 0) * (1 - beyond) + (pixels == 1) * beyond

    @property
    def parameter_rules(self) -> dict[str, ParameterRule]:
        return {"positions": ParameterRule(rate=self.position_rate, decays=False)}

    @torch.no_grad()
    def project_(self) -> None:
        for positions, side in zip(self.positions, self.kernel_size, strict=True):
            positions.clamp_(-(side - 1) / 2, (side - 1) / 2)

    @property
    def basis(self) -> Tensor:
        return self.weight

    @property
    def macs_per_step(self) -> int:
        return self.values.numel() * math.prod(self.kernel_size)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, kernel_count={self.values.shape[-1]}"


def _sides(size: int | Sequence[int] | None, reach: list[int]) -> tuple[int, int]:
    """Height and width of the dilated kernel around one that reaches so far."""
    if size is None:
        # rounded so that as many pixels are added before as after
        sides = [r + 2 * math.ceil((r - 1) / 2) for r in reach]
    else:
        sides = [size, size] if isinstance(size, int) else list(size)
    if any(s < r or (s - r) % 2 for s, r in zip(sides, reach, strict=True)):
        raise UnsupportedConvError(
            f"dilated_kernel_size must be at least {reach[0]}x{reach[1]}, the reach of the kernel, and exceed it by an "
            f"even number, not {size!r}"
        )
    return sides[0], sides[1]
