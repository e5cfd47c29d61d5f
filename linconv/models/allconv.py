"""All-CNN-C: nothing but convolutions; strides replace pooling.

J. T. Springenberg, A. Dosovitskiy, T. Brox, M. Riedmiller, "Striving for Simplicity: The All
Convolutional Net", ICLR 2015 workshop.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from linconv.models.blocks import ConvFactory, scaled

# Drop probability before each group of convolutions, and the group: (output channels, kernel size, stride).
ALLCONV = (
    (0.2, ((96, 3, 1), (96, 3, 1), (96, 3, 2))),
    (0.5, ((192, 3, 1), (192, 3, 1), (192, 3, 2))),
    (0.5, ((192, 3, 1), (192, 1, 1))),
)


class AllConv(nn.Module):
    """All-CNN-C without batch norm, every convolution with a bias.

    Two deviations from the authors' released code, which drops units at test time too and clips the class
    scores at 0: dropout acts in training only, and no ReLU follows the scores.
    """

    def __init__(
        self, num_classes: int, in_channels: int, conv: ConvFactory, as_released: bool, width: float = 1.0
    ) -> None:
        super().__init__()
        self.features = nn.ModuleDict()
        channels, position = in_channels, 0
        for group, (drop, convolutions) in enumerate(ALLCONV, start=1):
            self.features[f"drop{group}"] = nn.Dropout(drop)
            for out_channels, kernel_size, stride in convolutions:
                position += 1
                out_channels = scaled(out_channels, width)
                padding = 1 if kernel_size == 3 or as_released else 0
                self.features[f"conv{position}"] = conv(
                    channels, out_channels, kernel_size, stride=stride, padding=padding, bias=True
                )
                channels = out_channels
        self.classifier = nn.Conv2d(channels, num_classes, 1)  # plain in every variant

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.features.values():
            x = layer(x) if isinstance(layer, nn.Dropout) else F.relu(layer(x))
        x = self.classifier(x)  # (B, num_classes, H / 4, W / 4)
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


def allconv(
    num_classes: int = 10,
    in_channels: int = 3,
    conv: ConvFactory = nn.Conv2d,
    as_released: bool = False,
    width: float = 1.0,
) -> nn.Module:
    """All-CNN-C; `as_released` pads its 1x1 convolution of 192 channels by 1, as the released variants do."""
    return AllConv(num_classes, in_channels, conv, as_released, width)
