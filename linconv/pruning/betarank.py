"""Beta-Rank: a filter's norm times what it makes of its input's spread.

M. Homayounfar et al., "Beta-Rank: A Robust Convolutional Filter Pruning Method For Imbalanced Medical Image Analysis",
arXiv 2304.07461, 2023.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from linconv.pruning.criterion import Criterion, Images, best, group_scores, producers
from linconv.pruning.l1 import filter_norms


class Deviations(NamedTuple):
    """Standard deviations over images and pixels: of a convolution's whole input, and of each output channel, (N,)."""

    input: Tensor
    output: Tensor


def beta_scores(conv: nn.Conv2d, deviations: Deviations) -> Tensor:
    """||f||_1 times the deviation of what f puts out over that of what it takes in, (N,)."""
    ratio = deviations.output / deviations.input.clamp_min(torch.finfo(deviations.input.dtype).tiny)
    return filter_norms(conv).double() * ratio


@torch.no_grad()
def deviations(model: nn.Module, layers: Iterable[tuple[str, nn.Module]], images: Images) -> dict[str, Deviations]:
    """The deviations of the named convolutions on some images, in eval mode and double-precision sums."""
    sums: dict[str, list[Tensor]] = {}

    def record(name: str) -> object:
        def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            x, y = args[0].double(), output.double().transpose(0, 1).flatten(1)  # y: (N, images and pixels)
            found = [
                torch.tensor([float(x.numel())], device=x.device, dtype=x.dtype), x.sum()[None], x.square().sum()[None],
                torch.tensor([float(y.shape[1])], device=x.device, dtype=x.dtype), y.sum(1), y.square().sum(1),
            ]  # fmt: skip
            before = sums.get(name)
            sums[name] = found if before is None else [a + b for a, b in zip(before, found, strict=True)]

        return hook

    handles = [module.register_forward_hook(record(name)) for name, module in layers]  # type: ignore[arg-type]
    was_training = model.training
    model.eval()
    try:
        for batch in images():
            model(batch)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()

    def spread(n: Tensor, total: Tensor, squares: Tensor) -> Tensor:
        return (squares / n - (total / n).square()).clamp_min(0).sqrt()

    return {name: Deviations(spread(*s[:3])[0], spread(*s[3:])) for name, s in sums.items()}


class BetaRank(Criterion):
    """Keeps the filters with the highest scores on the first training images."""

    def choose(self, model: nn.Module, images: Images) -> tuple[Tensor, ...]:
        layers = {name: conv for group in self.plan.groups for name, conv in producers(model, group)}
        found = deviations(model, layers.items(), images)
        return tuple(
            best(group_scores(model, group, lambda name, conv: beta_scores(conv, found[name])), left)
            for group, left in zip(self.plan.groups, self.plan.left, strict=True)
        )
