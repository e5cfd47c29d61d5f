"""Small networks of the shapes that pruning meets, built by the project's own classes."""

from __future__ import annotations

import copy

import torch
from torch import nn

from linconv.models.mobilenet import MobileNetV2
from linconv.models.resnet import ResNet
from linconv.models.squeezenet import SqueezeNet
from linconv.models.vgg import ConvStack

SHAPE = (3, 16, 16)
NETWORKS = {
    "chain, 2x2 outputs flattened": lambda: ConvStack((16, "M", 24, "M", 32, "M"), 2, 5, 3, nn.Conv2d),
    "vgg": lambda: ConvStack((8, "M", 12, 12, "M", 16), 1, 5, 3, nn.Conv2d),
    "residual": lambda: ResNet(((8, 2, 1), (12, 2, 2), (16, 1, 2)), 5, 3, nn.Conv2d),
    "concatenating, without batch norm": lambda: SqueezeNet(("M", (4, 8), (6, 10)), 5, 3, nn.Conv2d),
    "depthwise": lambda: MobileNetV2(((1, 8, 1, 1), (2, 12, 2, 2)), 5, 3, nn.Conv2d),
}


def network(name: str) -> nn.Module:
    """A network in double precision and eval mode whose normalizations have a past."""
    torch.manual_seed(0)
    model = NETWORKS[name]().double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


def masked(model, groups, kept):
    """A copy whose channels that go are 0 wherever they are made: the network that the pruning step must equal."""
    model = copy.deepcopy(model)
    for group, channels in zip(groups, kept, strict=True):
        gone = sorted(set(range(group.size)) - set(channels.tolist()))
        for member in group.members:
            if member.side == "out":
                rows = [
                    p for p, c in zip(member.positions.tolist(), member.channels.tolist(), strict=True) if c in gone
                ]
                for parameter in model.get_submodule(member.layer).parameters(recurse=False):
                    parameter.data[rows] = 0
    return model
