"""MaskSparsity: only the channels that will go are made sparse.

N. Jiang et al., "Pruning-aware Sparse Regularization for Network Pruning", arXiv 2201.06776: the mask comes first, then
the L1 norm of those scales of the batch normalization that lie in it, then the pruning step.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from linconv.config.errors import UserError
from linconv.config.pruning import Pruning
from linconv.pruning.channels import Group
from linconv.pruning.criterion import Criterion, Images, best, group_scores, producers
from linconv.pruning.plan import Plan

log = logging.getLogger("linconv")
THRESHOLD = 0.01  # a scale below it counts as gone


def scale_magnitudes(norm: nn.BatchNorm2d) -> Tensor:
    """|gamma| of every channel, (N,)."""
    return norm.weight.detach().abs()


class MaskSparsity(Criterion):
    """Masks the channels with the smallest scales, shrinks these alone, and cuts the mask.

    The mask is cut as a whole, so that the budget is met; the log says how many of its scales were still above
    `THRESHOLD`.
    """

    def __init__(self, plan: Plan, options: Pruning) -> None:
        super().__init__(plan, options)
        self.penalty_weight = options.scale_penalty
        self._kept: list[Tensor] = []  # no mask yet
        self._indices: dict[str, Tensor] = {}  # of the masked scales of each normalization, on its device

    def attach(self, model: nn.Module) -> None:
        for group in self.plan.groups:
            if not any(True for _ in self._norms(model, group)):
                raise UserError(
                    f"pruning: masksparsity shrinks the scales of batch normalization, and none follows {group.name}; "
                    "choose another criterion for this network"
                )

    def at_epoch(self, model: nn.Module, epoch: int, epochs: int) -> None:
        # the epoch of the pruning step is at most the last of the plan, so one is sparse whenever epochs > 0
        if not self._kept and epoch >= min(epochs - 1, round(self.options.mask_at / self.options.at * epochs)):
            self._kept = [
                best(group_scores(model, group, lambda _, norm: scale_magnitudes(norm), nn.BatchNorm2d), left)
                for group, left in zip(self.plan.groups, self.plan.left, strict=True)
            ]

    def penalty(self, model: nn.Module) -> Tensor:
        """The sum of |gamma| over the mask."""
        return torch.stack([super().penalty(model), *(s.abs().sum() for s in self._masked(model))]).sum()

    def choose(self, model: nn.Module, images: Images) -> tuple[Tensor, ...]:
        scales = torch.cat([s.detach().abs() for s in self._masked(model)] or [torch.empty(0, device="cpu")])
        if above := int((scales > THRESHOLD).sum()):
            log.warning("pruning: %d of %d masked scales are above %g when they are cut", above, len(scales), THRESHOLD)
        return tuple(self._kept)

    def after_cut(self) -> None:
        self._kept, self._indices = [], {}

    def state_dict(self) -> dict[str, Any]:
        return {"kept": self._kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._kept, self._indices = state["kept"], {}

    def _masked(self, model: nn.Module) -> Iterator[Tensor]:
        """The scales in the mask, layer by layer."""
        for group, kept in zip(self.plan.groups, self._kept, strict=False):
            for name, norm in self._norms(model, group):
                if name not in self._indices:
                    member = next(m for m in group.members if m.layer == name)
                    gone = torch.ones(group.size, dtype=torch.bool, device="cpu")
                    gone[kept] = False
                    self._indices[name] = member.positions[gone[member.channels]].to(norm.weight.device)
                yield norm.weight[self._indices[name]]

    def _norms(self, model: nn.Module, group: Group) -> Iterator[tuple[str, Any]]:
        return producers(model, group, nn.BatchNorm2d)
