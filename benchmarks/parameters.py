"""Print the parameters of converted models relative to the original, with and without `only_where_saves`."""

from __future__ import annotations

import torch
import torchvision
from torch import nn

from linconv import build_model, convert

OURS = {"VGG11": "vgg11", "ResNet-18": "resnet18", "MobileNetV2": "mobilenetv2"}
TORCHVISION = ("resnet50", "convnext_tiny", "mobilenet_v3_small", "efficientnet_b0")


def make(name: str) -> nn.Module:
    with torch.device("meta"):  # counting needs no numbers
        return build_model(OURS[name]) if name in OURS else torchvision.models.get_model(name, weights=None)


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def main() -> None:
    print("| model | L | L, only where it saves | LRr | LRr, only where it saves |\n|---|---|---|---|---|")
    for name in (*OURS, *TORCHVISION):
        ratios = [
            count(convert(make(name), variant, only_where_saves=saves)) / count(make(name))
            for variant in ("L", "LRr")
            for saves in (False, True)
        ]
        label = name if name in OURS else f"torchvision {name}"
        print(f"| {label} | {' | '.join(f'{r:.2f}' for r in ratios)} |")


if __name__ == "__main__":
    main()
