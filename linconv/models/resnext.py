"""ResNeXt-29 (2x64d) at CIFAR size.

S. Xie, R. Girshick, P. Dollár, Z. Tu, K. He, "Aggregated Residual Transformations for Deep Neural Networks",
CVPR 2017.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from linconv.models.blocks import ConvFactory, projection, scaled

STEM = 64
CARDINALITY = 2
EXPANSION = 2
RESNEXT29 = ((64, 3, 1), (128, 3, 2), (256, 3, 2))  # width of one group, blocks, stride of the first block


class ResNeXtBlock(nn.Module):
    """1x1, grouped 3x3 and expanding 1x1 convolution and a shortcut, projected where the shape changes."""

    def __init__(self, in_channels: int, group_width: int, stride: int, conv: ConvFactory) -> None:
        super().__init__()
        width = CARDINALITY * group_width
        out_channels = EXPANSION * width
        self.conv1 = conv(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride=stride, padding=1, groups=CARDINALITY, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        keeps_shape = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if keeps_shape else projection(conv, in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + self.shortcut(x))


class ResNeXt(nn.Module):
    """A 1x1 stem, stages of blocks, a global average and a linear layer; convolutions have no bias."""

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
        self.stem = conv(in_channels, stem, 1, bias=False)
        self.stem_bn = nn.BatchNorm2d(stem)
        self.stages = nn.Sequential()
        previous = stem
        for group_width, blocks, stride in stages:
            group_width = scaled(group_width, width)
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(ResNeXtBlock(previous, group_width, stride if block == 0 else 1, conv))
                previous = EXPANSION * CARDINALITY * group_width
            self.stages.append(stage)
        self.classifier = nn.Linear(previous, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(F.relu(self.stem_bn(self.stem(x))))  # (B, 1024, H / 4, W / 4)
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


def resnext29(
    num_classes: int = 10, in_channels: int = 3, conv: ConvFactory = nn.Conv2d, width: float = 1.0
) -> nn.Module:
    """ResNeXt-29 with two groups of 64 channels in the first stage, doubling per stage."""
    return ResNeXt(RESNEXT29, num_classes, in_channels, conv, width)
