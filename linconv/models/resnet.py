"""ResNet-18 at CIFAR size.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from linconv.models.blocks import ConvFactory, projection, scaled

STEM = 64
RESNET18 = ((64, 2, 1), (128, 2, 2), (256, 2, 2), (512, 2, 2))  # channels, blocks, stride of the first block


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected where the block changes the shape."""

    def __init__(self, in_channels: int, channels: int, stride: int, conv: ConvFactory) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        keeps_shape = stride == 1 and in_channels == channels
        self.shortcut = nn.Identity() if keeps_shape else projection(conv, in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    """A 3x3 stem, stages of basic blocks, a global average and a linear layer; convolutions have no bias."""

    def __init__(
        self,
        stages: tuple[tuple[int, int, int], ...],
        num_classes: int,
        in_channels: int,
        conv: ConvFactory,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        stem = scaled(STEM, width)
        self.stem = conv(in_channels, stem, 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(stem)
        self.stages = nn.Sequential()
        previous = stem
        for channels, blocks, stride in stages:
            channels = scaled(channels, width)
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(BasicBlock(previous, channels, stride if block == 0 else 1, conv))
                previous = channels
            self.stages.append(stage)
        self.classifier = nn.Linear(previous, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(F.relu(self.stem_bn(self.stem(x))))  # (B, 512, H / 8, W / 8)
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


def resnet18(
    num_classes: int = 10, in_channels: int = 3, conv: ConvFactory = nn.Conv2d, width: float = 1.0
) -> nn.Module:
    """ResNet-18 with a 3x3 stem and no pooling before the stages."""
    return ResNet(RESNET18, num_classes, in_channels, conv, width)
