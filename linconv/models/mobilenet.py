"""MobileNetV2 at CIFAR size.

M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, "MobileNetV2: Inverted Residuals and Linear
Bottlenecks", CVPR 2018.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from linconv.models.blocks import ConvFactory, projection, scaled

STEM = 32
HEAD = 1280
# Expansion, output channels, blocks, stride of the first block.
MOBILENETV2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expanding 1x1, depthwise 3x3 and linear 1x1 convolution.

    Unlike the original, every block with stride 1 has a shortcut, projected where the width changes, and the
    block of expansion 1 keeps its first 1x1 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int, conv: ConvFactory) -> None:
        super().__init__()
        width = expansion * in_channels
        self.conv1 = conv(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride=stride, padding=1, groups=width, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module | None = None
        if stride == 1:
            keeps_width = in_channels == out_channels
            self.shortcut = nn.Identity() if keeps_width else projection(conv, in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return out if self.shortcut is None else out + self.shortcut(x)


class MobileNetV2(nn.Module):
    """A 3x3 stem, stages of inverted residuals, a 1x1 head and a linear layer; convolutions have no bias."""

    def __init__(
        self,
        stages: tuple[tuple[int, int, int, int], ...],
        num_classes: int,
        in_channels: int,
        conv: ConvFactory,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        stem, head = scaled(STEM, width), scaled(HEAD, width)
        self.stem = conv(in_channels, stem, 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(stem)
        self.stages = nn.Sequential()
        previous = stem
        for expansion, channels, blocks, stride in stages:
            channels = scaled(channels, width)
            stage = nn.Sequential()
            for block in range(blocks):
                first = stride if block == 0 else 1
                stage.append(InvertedResidual(previous, channels, expansion, first, conv))
                previous = channels
            self.stages.append(stage)
        self.head = conv(previous, head, 1, bias=False)
        self.head_bn = nn.BatchNorm2d(head)
        self.classifier = nn.Linear(head, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(F.relu(self.stem_bn(self.stem(x))))  # (B, 320, H / 8, W / 8)
        x = F.relu(self.head_bn(self.head(x)))  # (B, 1280, H / 8, W / 8)
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


def mobilenetv2(
    num_classes: int = 10, in_channels: int = 3, conv: ConvFactory = nn.Conv2d, width: float = 1.0
) -> nn.Module:
    """MobileNetV2 with ReLU, a stem of stride 1, and 1/8 of the input's resolution at the end."""
    return MobileNetV2(MOBILENETV2, num_classes, in_channels, conv, width)
