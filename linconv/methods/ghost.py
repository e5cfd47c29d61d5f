"""Ghost module: a convolution makes 1/s of the feature maps, cheap depthwise filters make the others from them.

Source: K. Han, Y. Wang, Q. Tian, J. Guo, C. Xu, C. Xu, "GhostNet: More Features from Cheap Operations", CVPR 2020.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.config.rules import at_least, is_int
from linconv.layers import ConvReplacement, Factory, Place, Rule, Stage, UnsupportedConvError
from linconv.layers.geometry import in_layout_of
from linconv.methods.normalized import normalized

ODD = Rule("an odd int of at least 1", lambda size: is_int(size) and size >= 1 and size % 2 == 1)
RELU = Rule("True, False, 'auto' or 'network'", lambda relu: isinstance(relu, bool) or relu in ("auto", "network"))


class GhostConv2d(ConvReplacement):
    """y = [p; relu(BN(B * p))], p = relu(BN(F * x)): m = ceil(N/s) filters F, N - m depthwise ones B of d x d.

    m D + (N - m) d^2 parameters, (N/s) D + (s - 1) (N/s) d^2 where s divides N, 2 N of the two batch norms, and the
    bias, which is added last. Each map of p makes s - 1 others. 1x1 kernels are replaced too, as in the source's own
    blocks.

    Args:
        ratio: s, an int of at least 2.
        cheap_size: d, an odd int of at least 1.
        relu: True: the formula above, the source's module as it stands before another layer. False: without any ReLU,
            the source's second module of a block, before the addition. "network": the network's own ReLU follows and
            is the last one, y = [p'; BN(B * relu(p'))], p' = BN(F * x), so that relu(y) is the formula above. "auto":
            where `linconv.convert` replaces a convolution, "network" if a ReLU follows it, else False; for a layer
            that is made by itself, True.

    Raises:
        UnsupportedConvError: groups > 1, or a single filter.
    """

    folds = False
    forms = ("feature",)

    def build(
        self,
        factory: Factory,
        *,
        ratio: Annotated[int, at_least(2)] = 2,
        cheap_size: Annotated[int, ODD] = 3,
        relu: Annotated[bool | str, RELU] = "auto",
    ) -> None:
        self.refuse_groups()
        if self.out_channels < 2:
            raise UnsupportedConvError("GhostConv2d needs at least 2 filters: a single map makes no other")
        self.ratio, self.cheap_size = ratio, cheap_size
        self.relu = True if relu == "auto" else relu
        primary = -(-self.out_channels // ratio)
        cheap = self.out_channels - primary
        self.filters = factory.parameter(primary, *self.filter_shape)
        self.cheap_filters = factory.parameter(cheap, 1, cheap_size, cheap_size)
        self.norm = nn.BatchNorm2d(primary, **factory._asdict())
        self.cheap_norm = nn.BatchNorm2d(cheap, **factory._asdict())

    @classmethod
    def options_at(cls, place: Place, options: Mapping[str, Any]) -> Mapping[str, Any]:
        if options.get("relu", "auto") != "auto" or place.relu_follows is None:
            return options
        return {**options, "relu": "network" if place.relu_follows else False}

    def reset_parameters(self) -> None:
        # both as nn.Conv2d draws; the norms take away their scale
        nn.init.kaiming_uniform_(self.filters, a=math.sqrt(5))
        nn.init.kaiming_uniform_(self.cheap_filters, a=math.sqrt(5))
        self.norm.reset_parameters()
        self.cheap_norm.reset_parameters()
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        batch = input if input.dim() == 4 else input[None]
        primary = normalized(self, self.norm, self.convolve(batch, self.filters))
        seen = F.relu(primary) if self.relu else primary
        output = torch.cat([primary, self.cheap_norm(self._cheap(seen))], dim=1)
        if self.relu is True:
            output = F.relu(output)
        if self.bias is not None:
            output = output + self.bias.to(output.dtype)[:, None, None]
        output = in_layout_of(batch, output)
        return output if input.dim() == 4 else output[0]

    def _cheap(self, primary: Tensor) -> Tensor:
        """N - m feature maps from the first of the m; the last source may make fewer than s - 1."""
        cheap, sources = len(self.cheap_filters), self._sources
        filters: Tensor = self.cheap_filters
        if missing := sources * (self.ratio - 1) - cheap:
            filters = F.pad(filters, (0, 0, 0, 0, 0, 0, 0, missing))
        return F.conv2d(primary[:, :sources], filters, padding=self.cheap_size // 2, groups=sources)[:, :cheap]

    @property
    def _sources(self) -> int:
        """How many primary feature maps make others."""
        return -(-len(self.cheap_filters) // (self.ratio - 1))

    @property
    def basis(self) -> Tensor:
        return self.filters

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        cheap = self._sources * (self.ratio - 1) * self.cheap_size**2
        return (Stage(self.filters.numel() * pixels, reads_input=True), Stage(cheap * pixels))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, ratio={self.ratio}, cheap_size={self.cheap_size}, relu={self.relu}"
