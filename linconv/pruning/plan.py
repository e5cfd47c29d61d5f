"""How many channels each group keeps, so that a share of the parameters is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from linconv.config.errors import UserError
from linconv.config.rules import is_number
from linconv.layers.copies import copied
from linconv.layers.replacing import TENSOR_HOOKS, check_module
from linconv.pruning.channels import Cut, Group, channel_groups, cut_channels
from linconv.pruning.verify import check_cut

TOLERANCE = 0.02  # of the parameters wanted


class Plan(NamedTuple):
    """The groups of a network's channels and how many of each stay."""

    groups: tuple[Group, ...]
    left: tuple[int, ...]


def make_plan(
    model: nn.Module, input_shape: tuple[int, int, int], params: float, *, exclude: Sequence[str] = ("classifier",)
) -> Plan:
    """Every group keeps the same share of its channels, up to one channel, and at least one: so many that `params` of
    all parameters are left.

    Args:
        model: the plain network.
        input_shape: of one image, (c, h, w).
        params: share of the network's parameters to reach, in (0, 1]; 1 keeps everything.
        exclude: as of `channel_groups`.

    Raises:
        ValueError: `params` or `input_shape` out of its range.
        UserError: the nearest such network has 2 % more or fewer parameters than that, or the model cannot be cut: a
            network with random ones of these channels is made, and has to compute what the network without them does.
    """
    if not is_number(params) or not 0 < params <= 1:
        raise ValueError(f"pruning: params={params!r}: a share of the parameters in (0, 1] is expected")
    groups = channel_groups(model, input_shape, exclude=exclude)
    wanted = params * sum(p.numel() for p in model.parameters())
    low, high = 0.0, 1.0
    for _ in range(30):  # the count grows with the share, by steps
        middle = (low + high) / 2
        if count_left(model, groups, _left(groups, middle)) < wanted:
            low = middle
        else:
            high = middle
    below, above = _left(groups, low), _left(groups, high)
    between = [(*above[:i], *below[i:]) for i in range(len(groups) + 1)]  # layers of one size would step all at once
    left = min(between, key=lambda n: abs(count_left(model, groups, n) - wanted))
    reached = count_left(model, groups, left)
    if abs(reached - wanted) > TOLERANCE * wanted:
        raise UserError(
            f"pruning: params {params} asks for {wanted:,.0f} parameters, and the nearest network with one share of "
            f"channels per layer has {reached:,}; choose another share"
        )
    drawn = torch.Generator("cpu").manual_seed(0)
    kept = [
        torch.randperm(g.size, generator=drawn, device="cpu")[:n].sort().values
        for g, n in zip(groups, left, strict=True)
    ]
    check_cut(model, input_shape, groups, kept)
    return Plan(groups, left)


@torch.inference_mode(False)
def pruned_network(
    model: nn.Module, input_shape: tuple[int, int, int], params: float, *, exclude: Sequence[str] = ("classifier",)
) -> nn.Module:
    """A plain network of the sizes that pruning leaves, whatever the criterion: every group's first channels.

    Marks on parameters carry over, and frozen parameters are cut and stay frozen.
    A training that prunes a network like `model` ends with these shapes, so its weights can be loaded into this one.

    Args:
        model: the plain network, not changed.
        input_shape: of one image, (c, h, w), as in the training.
        params: share of the network's parameters to reach, in (0, 1].
        exclude: as of `channel_groups`.

    Raises:
        ValueError, UserError: as `make_plan`; UserError also where a parameter has hooks, which would be lost.
    """
    check_module(model)
    for name, parameter in model.named_parameters():
        if any(getattr(parameter, hooks, None) for hooks in TENSOR_HOOKS):
            raise UserError(f"pruning: {name} has hooks, which the smaller network would not have; remove them")
    groups, left = make_plan(model, input_shape, params, exclude=exclude)
    kept = [torch.arange(n, device="cpu") for n in left]
    check_cut(model, input_shape, groups, kept)
    small = copied(model)
    cut_channels(small, groups, kept)
    return small


def count_left(model: nn.Module, groups: Sequence[Group], left: Sequence[int]) -> int:
    """The parameters of a model whose groups keep their first `left` channels each."""
    cut = Cut(model, groups, [torch.arange(n, device="cpu") for n in left])
    return sum(math.prod(cut.shape(name, parameter)) for name, parameter in model.named_parameters())


def _left(groups: Sequence[Group], share: float) -> tuple[int, ...]:
    return tuple(max(1, round(share * group.size)) for group in groups)
