"""Spatial convolution: filters one pixel wide beside filters one pixel high.

Source: Y. Ioannou, D. Robertson, J. Shotton, R. Cipolla, A. Criminisi, "Training CNNs with Low-Rank Filters for
Efficient Image Classification", ICLR 2016.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.layers.coefficients import count_primaries
from linconv.layers.replacement import ConvReplacement, Device, PaddingMode, RefusedError, Stage


class SpatialConv2d(ConvReplacement):
    """W = [V; H]: V of N/2 filters kh x 1, H of N/2 filters 1 x kw, zero elsewhere; c N k parameters, not c N k^2.

    The line of a filter is the kernel's middle, the lower of the two middles where the size is even.

    Args:
        vertical: the share of the N filters that are kh x 1; at least one filter is of each kind.

    Raises:
        RefusedError: groups > 1, a kernel with a side of 1, or a single filter.
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
        vertical: float = 0.5,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self._refuse_groups(groups)
        if not 0 < vertical < 1:
            raise ValueError(f"vertical must lie in (0, 1), not {vertical!r}")
        height, width = self.kernel_size
        if min(height, width) == 1:
            raise RefusedError(f"a {height}x{width} kernel is one pixel wide already")
        if out_channels < 2:
            raise RefusedError("one filter cannot be both vertical and horizontal")
        first = min(out_channels - 1, max(1, count_primaries(vertical, out_channels)))
        self.vertical = nn.Parameter(torch.empty(first, in_channels, height, 1, device=device, dtype=dtype))
        self.horizontal = nn.Parameter(
            torch.empty(out_channels - first, in_channels, 1, width, device=device, dtype=dtype)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # the fan-in of what is not zero: outputs have the variance that nn.Conv2d's initialisation gives them
        nn.init.kaiming_uniform_(self.vertical, a=math.sqrt(5))
        nn.init.kaiming_uniform_(self.horizontal, a=math.sqrt(5))
        self._reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        padding = self._reversed_padding_repeated_twice
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, padding, mode=self.padding_mode), [0, 0, 0, 0]
        left, right, top, bottom = padding
        rows, columns = self._margins()
        first = self.vertical.shape[0]
        upper, lower = (None, None) if self.bias is None else (self.bias[:first], self.bias[first:])
        beside = (left - columns[0], right - columns[1], top, bottom)
        above = (left, right, top - rows[0], bottom - rows[1])
        vertical = self._line(input, self.vertical, upper, beside)
        horizontal = self._line(input, self.horizontal, lower, above)
        return torch.cat([vertical, horizontal], dim=-3)

    def _line(self, input: Tensor, filters: Tensor, bias: Tensor | None, padding: tuple[int, int, int, int]) -> Tensor:
        """A convolution with so many zeros on the left, right, top and bottom; negative numbers cut the input."""
        left, right, top, bottom = padding
        if left == right >= 0 and top == bottom >= 0:
            return F.conv2d(input, filters, bias, self.stride, (top, left), self.dilation)
        return F.conv2d(F.pad(input, padding), filters, bias, self.stride, 0, self.dilation)

    def _margins(self) -> list[tuple[int, int]]:
        """The pixels that the full kernel reaches over and a line in its middle does not, before and after it."""
        return [
            (d * ((k - 1) // 2), d * (k - 1 - (k - 1) // 2))
            for k, d in zip(self.kernel_size, self.dilation, strict=True)
        ]

    @property
    def weight(self) -> Tensor:
        above, beside = ((k - 1) // 2 for k in self.kernel_size)
        below, after = self.kernel_size[0] - 1 - above, self.kernel_size[1] - 1 - beside
        return torch.cat([F.pad(self.vertical, (beside, after)), F.pad(self.horizontal, (0, 0, above, below))])

    @torch.no_grad()
    def _match_(self, conv: nn.Conv2d) -> None:
        wanted = float(conv.weight.std())
        if not math.isfinite(wanted):
            return
        for filters, side in ((self.vertical, self.kernel_size[1]), (self.horizontal, self.kernel_size[0])):
            drawn = float(filters.square().mean().sqrt()) / math.sqrt(side)  # zeros included
            if drawn > 0:
                filters.mul_(wanted / drawn)

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return (
            Stage(self.vertical.numel() * pixels, reads_input=True),
            Stage(self.horizontal.numel() * pixels, reads_input=True),
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, vertical={self.vertical.shape[0]}"
