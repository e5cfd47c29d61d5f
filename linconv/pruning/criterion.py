"""What a pruning criterion is: a ranking of channels and, for some, a way of training towards it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from linconv.config.pruning import Pruning
from linconv.pruning.channels import Group
from linconv.pruning.plan import Plan

Images = Callable[[], Iterable[Tensor]]


class Criterion:
    """Chooses the channels that stay. `plan` says which are tied and how many stay of each group."""

    penalty_weight = 0.0

    def __init__(self, plan: Plan, options: Pruning) -> None:
        self.plan, self.options = plan, options

    def attach(self, model: nn.Module) -> None:
        """Prepare a new plain network for its training; raises UserError where it lacks what the criterion needs."""

    def at_epoch(self, model: nn.Module, epoch: int, epochs: int) -> None:
        """Called before each epoch until the pruning step, which comes after `epochs`; `epoch` counts from 0."""

    def penalty(self, model: nn.Module) -> Tensor:
        """A term of the loss, to be multiplied by `penalty_weight`."""
        return next(model.parameters()).new_zeros(())

    def choose(self, model: nn.Module, images: Images) -> tuple[Tensor, ...]:
        """The channels that stay, ascending, of every group.

        Args:
            images: the first batches of the training set, whole or in parts, (n, c, h, w) each, always the same.
        """
        raise NotImplementedError

    def fold(self, model: nn.Module) -> None:
        """Turn the network back into a plain one, in place, that computes the same for the channels chosen."""

    def after_cut(self) -> None:
        """Nothing of the criterion acts any more."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def producers(model: nn.Module, group: Group, kind: type[nn.Module] = nn.Conv2d) -> Iterator[tuple[str, nn.Module]]:
    """The layers of a kind that have a weight and whose outputs are the channels of a group, with their names."""
    for member in group.members:
        module = model.get_submodule(member.layer)
        if member.side == "out" and isinstance(module, kind) and module.weight is not None:
            yield member.layer, module


@torch.no_grad()
def group_scores(
    model: nn.Module,
    group: Group,
    scores: Callable[[str, Any], Tensor],
    kind: type[nn.Module] = nn.Conv2d,
) -> Tensor:
    """A score for each channel of a group: the sum of its layers' scores, each divided by their mean in that layer.

    So in a residual network, where the channels of several convolutions are added, none outweighs the others.

    Args:
        scores: the criterion's own formula, (name, layer) -> (N,), higher is better.
    """
    positions = {member.layer: member for member in group.members if member.side == "out"}
    total: Tensor | None = None
    for name, module in producers(model, group, kind):
        own = scores(name, module).double()
        own = own / own.mean().clamp_min(torch.finfo(own.dtype).tiny)
        member = positions[name]
        if total is None:
            total = own.new_zeros(group.size)
        total.index_add_(0, member.channels.to(own.device), own[member.positions.to(own.device)])
    assert total is not None  # every group has a convolution
    return total


def best(scores: Tensor, number: int) -> Tensor:
    """The indices of the highest scores, ascending; of equal ones the first."""
    return scores.argsort(descending=True, stable=True)[:number].sort().values.cpu()
