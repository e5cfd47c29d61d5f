"""A check of two layers of one network, which may share parameters."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from linconv.layers import ConvReplacement, fold
from linconv.testing.subject import Subject, shaken
from linconv.testing.values import close


class SideBySide(nn.Module):
    """Two layers side by side, made as `linconv.convert` makes the layers of a network; their outputs are added."""

    def __init__(self, subject: Subject, **more: Any) -> None:
        super().__init__()
        options = dict(subject.options)
        if subject.cls.inits:
            options.setdefault("init", subject.cls.inits[0])
        convs = [subject.first.plain(**more) for _ in range(2)]
        layers = {conv: subject.cls.from_conv2d(conv, **options) for conv in convs}
        with torch.no_grad():
            subject.cls.share_(layers, options.get("init"))
        self.layers = nn.ModuleList(layers.values())

    def forward(self, x: Tensor) -> Tensor:
        first, second = (layer(x) for layer in self.layers)
        return first + second


def check_network(subject: Subject) -> None:
    """What layers share stays shared in a copy, after `to_empty` and after loading; all of these compute the same."""
    pair, x = shaken(SideBySide(subject).eval()), subject.first.images()
    expected, shares = pair(x), _count(pair)
    copied = copy.deepcopy(pair)
    _check_same(copied, x, expected, shares, "a deep copy")
    shaken(copied)
    close(pair(x), expected, "with a changed copy, the output of the original", 0)
    state = pair.state_dict()
    loaded = SideBySide(subject).eval()
    loaded.load_state_dict(state)
    _check_same(loaded, x, expected, shares, "a network that loaded the state")
    emptied = SideBySide(subject, device="meta").to_empty(device="cpu").eval()
    for layer in emptied.layers:
        assert isinstance(layer, ConvReplacement)
        layer.reset_parameters()
    emptied.load_state_dict(state)
    _check_same(emptied, x, expected, shares, "a network after to_empty that loaded the state")
    assigned = SideBySide(subject, device="meta").eval()
    assigned.load_state_dict(state, assign=True)
    _check_same(assigned, x, expected, shares, "a network on meta that loaded the state")
    close(fold(pair)(x), expected, "the output of the folded network")


def _check_same(found: nn.Module, x: Tensor, expected: Tensor, shares: int, what: str) -> None:
    close(found(x), expected, f"the output of {what}")
    assert _count(found) == shares, f"{what} has {_count(found)} parameters, not {shares}: less, or more, is shared"


def _count(model: nn.Module) -> int:
    """The parameters, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())
