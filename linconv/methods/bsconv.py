"""Blueprint separable convolutions: every filter is one k x k kernel, its blueprint, scaled for each input.

Source: D. Haase, M. Amthor, "Rethinking Depthwise Separable Convolutions: How Intra-Kernel Correlations Lead to
Improved MobileNets", CVPR 2020.
"""

from __future__ import annotations

import math
from typing import Annotated

from torch import Tensor, nn

from linconv.config.rules import is_number
from linconv.layers import SOURCE, ConvReplacement, Count, Factory, Rule, Stage, pointwise

RATIO = Rule("a number in (0, 1]", lambda ratio: is_number(ratio) and 0 < ratio <= 1)
NO_KERNEL = "its filters have no kernel to share"


class BSConvU2d(ConvReplacement):
    """W[n, i] = M[n, i] B[n]: scales M (N, c) of blueprints B (N, 1, kh, kw), run as 1x1, then depthwise.

    c N + N k^2 parameters, plus the bias. The 1x1 convolution runs at the resolution of the input.

    Args:
        init: "matched" draws the filters W with the standard deviation of `nn.Conv2d`'s or of those replaced; "source"
            draws the parameters as the authors' code does, whatever scale that gives.

    Raises:
        UnsupportedConvError: groups > 1, or a 1x1 kernel.
    """

    inits = ("matched", SOURCE)
    forms = ("feature",)
    scaled = ("blueprints",)

    def build(self, factory: Factory, *, init: str = "matched") -> None:
        self.init = init
        self.refuse_pointwise(NO_KERNEL)
        self.refuse_groups()
        self.mixing = factory.parameter(self.out_channels, self.in_channels)
        self.blueprints = factory.parameter(self.out_channels, 1, *self.kernel_size)

    def reset_parameters(self) -> None:
        # Var(W) = Var(M) Var(B), with Var(M) = 1 / (3 c) as nn.Conv2d draws: B makes it nn.Conv2d's 1 / (3 c k^2)
        nn.init.kaiming_uniform_(self.mixing, a=math.sqrt(5))
        _draw_blueprints(self.blueprints, self.init)
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        # without a bias the 1x1 convolution commutes with padding of any mode
        return self.convolve(pointwise(input, self.mixing), self.blueprints, self.bias, groups=self.out_channels)

    @property
    def weight(self) -> Tensor:
        return self.mixing[:, :, None, None] * self.blueprints

    @property
    def basis(self) -> Tensor:
        """The blueprints (N, 1, kh, kw)."""
        return self.blueprints

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return (
            Stage(self.mixing.numel() * input_pixels, reads_input=True),
            Stage(self.blueprints.numel() * pixels),
        )


class BSConvS2d(ConvReplacement):
    """W[n, i] = (M P)[n, i] B[n]: as `BSConvU2d` with scales of rank m, P (m, c) and M (N, m), and blueprints B.

    m (c + N) + N k^2 parameters, plus the bias. The source adds 0.1 ||P P^T - I||_F to the loss: the regularizer
    `orthogonal` of weight 0.1, which acts on `basis`.

    Args:
        mid_ratio: m / c, in (0, 1], rounded up.
        min_mid_channels: the least m, at least 1; c where c is smaller, since no P has a higher rank.
        init: as of `BSConvU2d`.

    Raises:
        UnsupportedConvError: groups > 1, or a 1x1 kernel.
    """

    inits = ("matched", SOURCE)
    forms = ("feature",)
    scaled = ("blueprints",)

    def build(
        self,
        factory: Factory,
        *,
        mid_ratio: Annotated[float, RATIO] = 0.25,
        min_mid_channels: Count = 4,
        init: str = "matched",
    ) -> None:
        self.init = init
        self.refuse_pointwise(NO_KERNEL)
        self.refuse_groups()
        # rounded before it is raised: 0.07 * 100 is 7.000000000000001
        wanted = max(min_mid_channels, math.ceil(round(mid_ratio * self.in_channels, 9)))
        self.mid_channels = min(self.in_channels, wanted)
        self.projection = factory.parameter(self.mid_channels, self.in_channels)
        self.mixing = factory.parameter(self.out_channels, self.mid_channels)
        self.blueprints = factory.parameter(self.out_channels, 1, *self.kernel_size)

    def reset_parameters(self) -> None:
        # Var(W) = m Var(M) Var(P) Var(B); P as nn.Conv2d draws, so Var(M) = 1 / m keeps what `BSConvU2d` has
        nn.init.kaiming_uniform_(self.projection, a=math.sqrt(5))
        bound = math.sqrt((1 if self.init == SOURCE else 3) / self.mid_channels)
        nn.init.uniform_(self.mixing, -bound, bound)
        _draw_blueprints(self.blueprints, self.init)
        self.reset_bias()

    def forward(self, input: Tensor) -> Tensor:
        mixed = pointwise(pointwise(input, self.projection), self.mixing)
        return self.convolve(mixed, self.blueprints, self.bias, groups=self.out_channels)

    @property
    def weight(self) -> Tensor:
        return (self.mixing @ self.projection)[:, :, None, None] * self.blueprints

    @property
    def basis(self) -> Tensor:
        """P as 1x1 filters (m, c, 1, 1), whose rows the source draws towards orthonormal ones."""
        return self.projection[:, :, None, None]

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        return (
            Stage(self.projection.numel() * input_pixels, reads_input=True),
            Stage(self.mixing.numel() * input_pixels),
            Stage(self.blueprints.numel() * pixels),
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, mid_channels={self.mid_channels}"


def _draw_blueprints(blueprints: Tensor, init: str) -> None:
    """Variance 1 / k^2, or a third of it, which nn.Conv2d draws."""
    bound = math.sqrt((1 if init == SOURCE else 3) / blueprints[0].numel())
    nn.init.uniform_(blueprints, -bound, bound)
