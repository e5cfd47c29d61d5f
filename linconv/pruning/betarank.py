"""Beta-Rank: a filter's norm times what it makes, at every position, of the spread of its input.

M. Homayounfar et al., "Beta-Rank: A Robust Convolutional Filter Pruning Method For Imbalanced Medical Image Analysis",
arXiv 2304.07461, 2023, equation 5, and the released rank_generation.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.pruning.criterion import Criterion, Images, best, group_scores, producers
from linconv.pruning.l1 import filter_norms

CONSTANT = 1e-6  # of the input's root mean square: a patch that deviates less is constant but for rounding


class Deviations(NamedTuple):
    """Standard deviations at each of the P positions of a convolution's output.

    Attributes:
        input: over images, channels and pixels of the patch under the kernel, padding included, (groups, P).
        output: over images, of each output channel, (N, P).
        scale: the root mean square of the whole input, a scalar.
    """

    input: Tensor
    output: Tensor
    scale: Tensor


def beta_scores(conv: nn.Conv2d, deviations: Deviations) -> Tensor:
    """mean |f| times the sum over positions of the deviation of f's output over that of the patch it sees, (N,).

    A position where the patch is constant adds nothing.
    """
    varies = deviations.input > CONSTANT * deviations.scale
    inverse = torch.where(varies, 1 / torch.where(varies, deviations.input, 1), 0)
    ratios = deviations.output * inverse.repeat_interleave(conv.out_channels // conv.groups, 0)
    return filter_norms(conv).double() / conv.weight[0].numel() * ratios.sum(1)


class _Spread:
    """Mean and sum of squared differences from it, over the first dimension of tensors that come one after another."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, *torch.zeros(2, device="cpu")

    def add(self, values: Tensor) -> None:
        count, mean = len(values), values.mean(0)
        squares = (values - mean).square().sum(0)
        if self.count:  # Chan, Golub & LeVeque's rule, which loses no digits
            apart, total = mean - self.mean, self.count + count
            squares = self.squares + squares + apart.square() * (self.count * count / total)
            mean, count = self.mean + apart * (count / total), total
        self.count, self.mean, self.squares = count, mean, squares

    @property
    def variance(self) -> Tensor:
        return self.squares / self.count


@torch.no_grad()
def deviations(model: nn.Module, layers: Iterable[tuple[str, nn.Module]], images: Images) -> dict[str, Deviations]:
    """The deviations of the named convolutions on some images, in eval mode and double precision."""
    layers = list(layers)
    spreads = {name: (_Spread(), _Spread()) for name, _ in layers}

    def record(name: str) -> Any:
        def hook(conv: nn.Conv2d, args: tuple[Tensor, ...], output: Tensor) -> None:
            into, out = spreads[name]
            by_group = args[0].double().unflatten(1, (conv.groups, -1))  # (n, g, c/g, h, w)
            into.add(by_group.transpose(1, 2).flatten(0, 1))
            out.add(output.double())

        return hook

    handles = [module.register_forward_hook(record(name)) for name, module in layers]
    was_training = model.training
    model.eval()
    try:
        for batch in images():
            model(batch)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return {name: _deviations(conv, *spreads[name]) for name, conv in layers}


def _deviations(conv: Any, into: _Spread, out: _Spread) -> Deviations:
    means = _patches(conv, into.mean)
    within = _patches(conv, into.variance).mean(1)
    between = (means - means.mean(1, keepdim=True)).square().mean(1)
    scale = (into.variance + into.mean.square()).mean().sqrt()
    return Deviations((within + between).sqrt(), out.variance.sqrt().flatten(1), scale)


def _patches(conv: Any, maps: Tensor) -> Tensor:
    """(g, h, w) -> (g, kh kw, P): the values under the kernel at every position of the output."""
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    padded = F.pad(maps[:, None], conv._reversed_padding_repeated_twice, mode=mode)
    return F.unfold(padded, conv.kernel_size, conv.dilation, 0, conv.stride)


class BetaRank(Criterion):
    """Keeps the filters with the highest scores on the first training images."""

    def choose(self, model: nn.Module, images: Images) -> tuple[Tensor, ...]:
        layers = {name: conv for group in self.plan.groups for name, conv in producers(model, group)}
        found = deviations(model, layers.items(), images)
        return tuple(
            best(group_scores(model, group, lambda name, conv: beta_scores(conv, found[name])), left)
            for group, left in zip(self.plan.groups, self.plan.left, strict=True)
        )
