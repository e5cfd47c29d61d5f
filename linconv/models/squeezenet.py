"""SqueezeNet 1.1 at CIFAR size.

F. N. Iandola, S. Han, M. W. Moskewicz, K. Ashraf, W. J. Dally, K. Keutzer, "SqueezeNet: AlexNet-level
accuracy with 50x fewer parameters and <0.5MB model size", arXiv 1602.07360; later version 1.1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.models.blocks import ConvFactory, scaled

POOL = "M"
STEM = 64
# (squeeze, expand) channels of the fire modules; each of the two expansions yields `expand` channels.
# Two poolings, after the stem and after the second fire module: the layout that fits the 0.069 G of table 2.
SQUEEZENET = (
    POOL,
    (16, 64),
    (16, 64),
    POOL,
    (32, 128),
    (32, 128),
    (48, 192),
    (48, 192),
    (64, 256),
    (64, 256),
)


class Fire(nn.Module):
    """A 1x1 convolution that squeezes the channels, then a 1x1 and a 3x3 convolution side by side."""

    def __init__(self, in_channels: int, squeeze: int, expand: int, conv: ConvFactory) -> None:
        super().__init__()
        self.squeeze = conv(in_channels, squeeze, 1, bias=True)
        self.expand1 = conv(squeeze, expand, 1, bias=True)
        self.expand3 = conv(squeeze, expand, 3, padding=1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1(x), self.expand3(x)], dim=1))  # (B, 2 * expand, H, W)


class SqueezeNet(nn.Module):
    """A 3x3 stem, fire modules and a 1x1 convolution to the class scores, averaged; no batch norm."""

    def __init__(
        self,
        layout: tuple[str | tuple[int, int], ...],
        num_classes: int,
        in_channels: int,
        conv: ConvFactory,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        stem = scaled(STEM, width)
        self.stem = conv(in_channels, stem, 3, padding=1, bias=True)
        self.features = nn.Sequential()
        channels, fires, pools = stem, 0, 0
        for entry in layout:
            if isinstance(entry, str):
                pools += 1
                self.features.add_module(f"pool{pools}", nn.MaxPool2d(3, stride=2, ceil_mode=True))
                continue
            fires += 1
            squeeze, expand = (scaled(channels, width) for channels in entry)
            self.features.add_module(f"fire{fires}", Fire(channels, squeeze, expand, conv))
            channels = 2 * expand
        self.drop = nn.Dropout(0.5)
        self.classifier = nn.Conv2d(channels, num_classes, 1)  # plain in every variant
        self._initialize()

    def _initialize(self) -> None:
        # torch's default shrinks the signal layer by layer; without batch norm, training never leaves chance
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.classifier.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(F.relu(self.stem(x)))  # (B, 512, H / 4, W / 4)
        x = self.classifier(self.drop(x))
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


def squeezenet(
    num_classes: int = 10, in_channels: int = 3, conv: ConvFactory = nn.Conv2d, width: float = 1.0
) -> nn.Module:
    """SqueezeNet 1.1 at CIFAR size: 727,626 parameters with ten classes (paper, table 2: 0.73 M)."""
    return SqueezeNet(SQUEEZENET, num_classes, in_channels, conv, width)
