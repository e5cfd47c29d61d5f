"""Dilated convolution with learnable spacings: a few weights per kernel, at positions that are learned.

Source: I. Khalfaoui-Hassani, T. Pellegrini, T. Masquelier, "Dilated Convolution with Learnable Spacings", ICLR 2023.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from linconv.layers.replacement import ConvReplacement, Device, PaddingMode, RefusedError, Stage

SPREAD = 0.5  # standard deviation of new positions in pixels, as in the source


class DCLSConv2d(ConvReplacement):
    """W[n, c, y, x] = sum_m w_m t(y - p_m) t(x - q_m), t(d) = max(0, 1 - |d|), p and q learned; 3 m c N parameters.

    t spreads a weight over the four pixels around its position (bilinear interpolation). The layer is a convolution
    with the dilated kernel, padded further so that its output has the size that the replaced convolution's has;
    `kernel_size`, `padding` and `dilation` are those of that larger convolution.

    Args:
        kernel_count: m, at least 1; None takes a third of the kernel, so that there are no more parameters than plain.
        dilated_kernel_size: the sides of the square or rectangle in which positions may lie, at least the reach of the
            replaced kernel and odd where that is odd; None takes the reach that twice the dilation would have.

    Raises:
        RefusedError: a 1x1 kernel.
        ValueError: an option out of its range, or whatever `nn.Conv2d` refuses.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        kernel_count: int | None = None,
        dilated_kernel_size: int | Sequence[int] | None = None,
    ) -> None:
        plain = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, False, padding_mode, "meta"
        )
        if plain.kernel_size == (1, 1):
            raise RefusedError("a 1x1 kernel has one weight, whose position would only shift the image")
        if kernel_count is None:
            kernel_count = max(1, math.prod(plain.kernel_size) // 3)
        if isinstance(kernel_count, bool) or not isinstance(kernel_count, int) or kernel_count < 1:
            raise ValueError(f"kernel_count must be an int of at least 1, not {kernel_count!r}")
        reach = [d * (k - 1) + 1 for k, d in zip(plain.kernel_size, plain.dilation, strict=True)]
        size = _sides(dilated_kernel_size, reach)
        further = [(large - small) // 2 for large, small in zip(size, reach, strict=True)]
        if isinstance(padding, str):
            outer: str | tuple[int, int] = "same" if padding == "same" else (further[0], further[1])
        else:
            given = plain.padding
            outer = (int(given[0]) + further[0], int(given[1]) + further[1])
        super().__init__(in_channels, out_channels, size, stride, outer, 1, groups, bias, padding_mode, device, dtype)
        shape = (out_channels, in_channels // groups, kernel_count)
        self.values = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.positions = nn.Parameter(torch.empty(2, *shape, device=device, dtype=dtype))  # from the centre: y, x
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        nn.init.normal_(self.positions, std=SPREAD)
        nn.init.uniform_(self.values, -1, 1)
        # outputs with the variance that nn.Conv2d's filters give: the squares of a filter sum to 1/3
        self.values.div_((3 * self._energy()).sqrt())
        self._reset_bias()

    def _energy(self) -> Tensor:
        """The sum of the squares of a filter, averaged over the N."""
        return self.weight.square().sum() / self.out_channels

    @torch.no_grad()
    def _match_(self, conv: nn.Conv2d) -> None:
        # over more pixels, filters of the same standard deviation would make larger outputs
        drawn, wanted = float(self._energy()), float(conv.weight.square().sum() / self.out_channels)
        if drawn > 0 and math.isfinite(wanted):
            self.values.mul_(math.sqrt(wanted / drawn))

    def forward(self, input: Tensor) -> Tensor:
        return self._conv(input, self.weight, self.bias)

    @property
    def weight(self) -> Tensor:
        y, x = (self._tents(p, side) for p, side in zip(self.positions, self.kernel_size, strict=True))
        return (self.values[..., None] * y).transpose(-1, -2) @ x  # (N, c/g, Kh, Kw)

    def _tents(self, positions: Tensor, side: int) -> Tensor:
        """t(i - p) for every pixel i of a side and every position p, (N, c/g, m, side); p is kept inside the kernel."""
        furthest = (side - 1) / 2
        pixels = torch.arange(side, device=positions.device, dtype=positions.dtype) - furthest
        return (1 - (pixels - positions.clamp(-furthest, furthest)[..., None]).abs()).clamp(min=0)

    @property
    def basis(self) -> Tensor:
        return self.weight

    @property
    def macs_per_step(self) -> int:
        return self.values.numel() * math.prod(self.kernel_size)

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return (Stage(self.out_channels * self.filter_size * pixels, reads_input=True),)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, kernel_count={self.values.shape[-1]}"


def _sides(size: int | Sequence[int] | None, reach: list[int]) -> tuple[int, int]:
    """Height and width of the dilated kernel around one that reaches so far."""
    if size is None:
        # rounded so that as many pixels are added before as after
        sides = [r + 2 * math.ceil((r - 1) / 2) for r in reach]
    else:
        sides = [size, size] if isinstance(size, int) else list(size)
    if len(sides) != 2 or not all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sides):
        raise ValueError(f"dilated_kernel_size must be an int of at least 1, or two, not {size!r}")
    if any(s < r or (s - r) % 2 for s, r in zip(sides, reach, strict=True)):
        raise RefusedError(
            f"dilated_kernel_size must be at least {reach[0]}x{reach[1]}, the reach of the kernel, and exceed it by an "
            f"even number, not {size!r}"
        )
    return sides[0], sides[1]
