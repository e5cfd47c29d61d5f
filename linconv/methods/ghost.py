"""Ghost module: a convolution makes 1/s of the maps, cheap depthwise filters make the others from them.

Source: K. Han, Y. Wang, Q. Tian, J. Guo, C. Xu, C. Xu, "GhostNet: More Features from Cheap Operations", CVPR 2020.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.layers.replacement import ConvReplacement, Device, PaddingMode, RefusedError, Stage


class GhostConv2d(ConvReplacement):
    """y = [p; relu(BN(B * p))], p = relu(BN(F * x)): m = ceil(N/s) filters F, N - m depthwise ones B of d x d.

    m D + (N - m) d^2 parameters, (N/s) D + (s - 1) (N/s) d^2 where s divides N, 2 N of the two batch norms, and the
    bias, which is added last. Each map of p makes s - 1 others. Because of the ReLU all outputs but for the bias are
    at least 0. 1x1 kernels are replaced too, as in the source's own blocks.

    Args:
        ratio: s, an int of at least 2.
        cheap_size: d, an odd int of at least 1.

    Raises:
        RefusedError: groups > 1, or a single filter.
        ValueError: an option out of its range, or whatever `nn.Conv2d` refuses.
    """

    folds = False

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
        ratio: int = 2,
        cheap_size: int = 3,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        if isinstance(ratio, bool) or not isinstance(ratio, int) or ratio < 2:
            raise ValueError(f"ratio must be an int of at least 2, not {ratio!r}")
        if isinstance(cheap_size, bool) or not isinstance(cheap_size, int) or cheap_size < 1 or cheap_size % 2 == 0:
            raise ValueError(f"cheap_size must be an odd int of at least 1, not {cheap_size!r}")
        self._refuse_groups(groups)
        if out_channels < 2:
            raise RefusedError("GhostConv2d needs at least 2 filters: from a single one no other map is made")
        self.ratio, self.cheap_size = ratio, cheap_size
        primary = -(-out_channels // ratio)
        cheap = out_channels - primary
        self.filters = nn.Parameter(torch.empty(primary, *self._filter_shape, device=device, dtype=dtype))
        self.cheap_filters = nn.Parameter(torch.empty(cheap, 1, cheap_size, cheap_size, device=device, dtype=dtype))
        self.norm = nn.BatchNorm2d(primary, device=device, dtype=dtype)
        self.cheap_norm = nn.BatchNorm2d(cheap, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # both as nn.Conv2d draws; the norms take away their scale
        nn.init.kaiming_uniform_(self.filters, a=math.sqrt(5))
        nn.init.kaiming_uniform_(self.cheap_filters, a=math.sqrt(5))
        self.norm.reset_parameters()
        self.cheap_norm.reset_parameters()
        self._reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        batch = input if input.dim() == 4 else input[None]
        primary = F.relu(self.norm(self._conv(batch, self.filters)))
        output = torch.cat([primary, F.relu(self.cheap_norm(self._cheap(primary)))], dim=1)
        if self.bias is not None:
            output = output + self.bias.to(output.dtype)[:, None, None]
        return output if input.dim() == 4 else output[0]

    def _cheap(self, primary: Tensor) -> Tensor:
        """N - m maps from the first of the m; the last one of these may make fewer than s - 1."""
        cheap, sources = len(self.cheap_filters), self._sources
        filters: Tensor = self.cheap_filters
        if missing := sources * (self.ratio - 1) - cheap:
            filters = F.pad(filters, (0, 0, 0, 0, 0, 0, 0, missing))
        return F.conv2d(primary[:, :sources], filters, padding=self.cheap_size // 2, groups=sources)[:, :cheap]

    @property
    def _sources(self) -> int:
        """How many maps make others."""
        return -(-len(self.cheap_filters) // (self.ratio - 1))

    @property
    def basis(self) -> Tensor:
        return self.filters

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        cheap = self._sources * (self.ratio - 1) * self.cheap_size**2
        return (Stage(self.filters.numel() * pixels, reads_input=True), Stage(cheap * pixels))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, ratio={self.ratio}, cheap_size={self.cheap_size}"
