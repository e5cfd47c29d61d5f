"""The two plain stacks of the paper: its own four-layer base network, and VGG11 at CIFAR size.

K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015.
"""

from __future__ import annotations

from torch import Tensor, nn

from linconv.models.blocks import ConvFactory, scaled

POOL = "M"
BASE = (32, POOL, 64, POOL, 128, POOL, 256, POOL)
VGG11 = (64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL)


class ConvStack(nn.Module):
    """3x3 convolutions with bias, batch norm and ReLU, 2x2 max-pooling between them, and one linear layer.

    `layout` lists output channels and `POOL`. The last feature map is averaged to `out_size` x `out_size`;
    32x32 images arrive at that size and are not changed by it.
    """

    def __init__(
        self,
        layout: tuple[int | str, ...],
        out_size: int,
        num_classes: int,
        in_channels: int,
        conv: ConvFactory,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        channels, position = in_channels, 0
        for entry in layout:
            if isinstance(entry, str):
                self.features.add_module(f"pool{position}", nn.MaxPool2d(2))
                continue
            position += 1
            entry = scaled(entry, width)
            self.features.add_module(f"conv{position}", conv(channels, entry, 3, padding=1, bias=True))
            self.features.add_module(f"bn{position}", nn.BatchNorm2d(entry))
            # A module, not F.relu as in the other networks: the paper's FLOP column counts ReLU modules only.
            self.features.add_module(f"relu{position}", nn.ReLU(inplace=True))
            channels = entry
        self.pool = nn.AdaptiveAvgPool2d(out_size)
        self.classifier = nn.Linear(channels * out_size**2, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.features(x))  # (B, channels, out_size, out_size)
        return self.classifier(x.flatten(1))


def base(num_classes: int = 10, in_channels: int = 3, conv: ConvFactory = nn.Conv2d, width: float = 1.0) -> nn.Module:
    """The four-layer network of the paper (section 4): 32, 64, 128, 256 channels, each pooled."""
    return ConvStack(BASE, 2, num_classes, in_channels, conv, width)


def vgg11(num_classes: int = 10, in_channels: int = 3, conv: ConvFactory = nn.Conv2d, width: float = 1.0) -> nn.Module:
    """VGG11 with batch norm at CIFAR size: eight convolutions and a single linear layer."""
    return ConvStack(VGG11, 1, num_classes, in_channels, conv, width)
