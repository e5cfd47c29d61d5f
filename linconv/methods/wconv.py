"""Weighted convolution: filters multiplied by a density of the distance from the kernel's centre.

Source: S. Cammarasana, G. Patanè, "Optimal Weighted Convolution for Classification and Denosing", arXiv 2505.24558,
2025. There the density is a constant found by a search around the training; here it may also be learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from linconv.layers.replacement import ConvReplacement, Device, PaddingMode, RefusedError, Stage


class WConv2d(ConvReplacement):
    """W = F * (a b^T), elementwise, F (N, c/g, kh, kw); N D parameters, and (k - 1) / 2 where the density is learned.

    The densities a of rows and b of columns are symmetric, 1 in the middle, and share one value for each distance from
    it.

    Args:
        density: the values at the distances 1, 2, ... from the centre, as many as the longer side needs, or one number
            for all of them; where it learns, the values it starts from.
        learned: whether the density is trained with the filters.

    Raises:
        RefusedError: a kernel with an even side, which has no centre, a 1x1 kernel, or one that reaches further or less
            far than the values given.
        ValueError: an option out of its range, or whatever `nn.Conv2d` refuses.
    """

    scaled = "filters"

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
        density: float | Sequence[float] = 0.8,
        learned: bool = False,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        height, width = self.kernel_size
        values = [density] if isinstance(density, int | float) else list(density)
        if not values or not all(
            isinstance(v, int | float) and not isinstance(v, bool) and 0 < v < math.inf for v in values
        ):
            raise ValueError(f"density must be a number above 0, or one for each distance, not {density!r}")
        if height % 2 == 0 or width % 2 == 0:
            raise RefusedError(f"a {height}x{width} kernel has no centre to measure distances from")
        if height == width == 1:
            raise RefusedError("a 1x1 kernel has a centre alone, where the density is 1")
        distances = max(height, width) // 2
        if isinstance(density, int | float):
            values = values * distances
        elif len(values) != distances:
            raise RefusedError(f"a {height}x{width} kernel needs {distances} value(s) of density, not {len(values)}")
        self._start = [float(v) for v in values]
        self.filters = nn.Parameter(torch.empty(out_channels, *self._filter_shape, device=device, dtype=dtype))
        tensor = torch.empty(distances, device=device, dtype=dtype)
        if learned:
            self.density = nn.Parameter(tensor)
        else:
            self.register_buffer("density", tensor)
        self.reset_parameters()

    density: Tensor

    @torch.no_grad()
    def reset_parameters(self) -> None:
        self.density.copy_(torch.tensor(self._start))
        nn.init.kaiming_uniform_(self.filters, a=math.sqrt(5))
        # W with the variance of nn.Conv2d's filters
        self.filters.div_(self._weights().square().mean().sqrt())
        self._reset_bias()

    def _weights(self) -> Tensor:
        """a b^T, (kh, kw)."""
        one = self.density.new_ones(1)
        sides = (self.density[: size // 2] for size in self.kernel_size)
        rows, columns = (torch.cat([side.flip(0), one, side]) for side in sides)
        return torch.outer(rows, columns)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv(input, self.weight, self.bias)

    @property
    def weight(self) -> Tensor:
        return self.filters * self._weights()

    @property
    def basis(self) -> Tensor:
        return self.weight

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return (Stage(self.filters.numel() * pixels, reads_input=True),)

    def extra_repr(self) -> str:
        learned = isinstance(self.density, nn.Parameter)
        return f"{super().extra_repr()}, distances={self.density.numel()}, learned={learned}"
