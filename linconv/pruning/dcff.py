"""Dynamic-coded filter fusion: the compact network is trained from the start, its filters mixed of all.

M. Lin et al., "Training Compact CNNs for Image Classification using Dynamic-coded Filter Fusion", TPAMI 2023. A
filter's proxy is the softmax over its distances to all filters, p_i = softmax_j(-T ||w_i - w_j||); a filter's
importance is the sum over j of KL(p_i || p_j); the m most important rows of P W are the layer's filters. With T
rising, every row comes to be the filter itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from linconv.pruning.channels import Member, dimension
from linconv.pruning.criterion import Criterion, Images, best, group_scores

WEIGHT = "weight"


def distances(filters: Tensor, rows: Tensor) -> Tensor:
    """||w_i - w_j|| of the given rows to all filters (N, D), (len(rows), N), with a gradient of 0 where it is 0."""
    chosen = filters[rows]
    squares = filters.square().sum(1)
    d2 = squares[rows, None] + squares[None] - 2 * chosen @ filters.T
    itself = rows[:, None] == torch.arange(len(filters), device=rows.device)
    # by way of products a filter is not quite at 0 from itself, which T = 1e4 would blow up
    positive = ~itself & (d2 > 0)
    return torch.where(positive, torch.where(positive, d2, 1).sqrt(), 0)


def log_proxies(filters: Tensor, rows: Tensor, temperature: Tensor | float) -> Tensor:
    """log of the proxies of the given rows, (len(rows), N)."""
    return torch.log_softmax(-distances(filters, rows) * temperature, dim=1)


def importances(filters: Tensor, temperature: Tensor | float) -> Tensor:
    """sum_j KL(p_i || p_j) of every filter of (N, D), (N,)."""
    log_p = log_proxies(filters, torch.arange(len(filters), device=filters.device), temperature)
    p = log_p.exp()
    own = (p * log_p).sum(1)  # (N,): minus the entropies
    return len(filters) * own - p @ log_p.sum(0)


class FusedFilters(nn.Module):
    """Parametrisation of a convolution's weight: rows of P W where `rows` says so, 0 elsewhere."""

    rows: Tensor
    temperature: Tensor

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.arange(rows))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, weight: Tensor) -> Tensor:
        filters = weight.flatten(1)
        with torch.autocast(weight.device.type, enabled=False):  # 1e4 times a distance needs every bit
            fused = log_proxies(filters, self.rows, self.temperature).exp() @ filters
        return torch.zeros_like(filters).index_copy(0, self.rows, fused).view(weight.shape)


class KeptRows(nn.Module):
    """Parametrisation of a vector with an entry per channel (bias, scale): 0 but for `rows`."""

    rows: Tensor

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.arange(rows))

    def forward(self, vector: Tensor) -> Tensor:
        return torch.zeros_like(vector).index_copy(0, self.rows, vector[self.rows])


class FilterFusion(Criterion):
    """Trains the compact network inside the plain one, whose other channels are 0, and chooses anew every epoch."""

    def attach(self, model: nn.Module) -> None:
        for group, left in zip(self.plan.groups, self.plan.left, strict=True):
            for member in group.members:
                if member.side != "out":
                    continue
                module = model.get_submodule(member.layer)
                for name in [name for name, _ in module.named_parameters(recurse=False)]:
                    if dimension(module, "out", name) is None:
                        continue
                    fuses = isinstance(module, nn.Conv2d) and name == WEIGHT
                    parametrize.register_parametrization(module, name, (FusedFilters if fuses else KeptRows)(left))

    @torch.no_grad()
    def at_epoch(self, model: nn.Module, epoch: int, epochs: int) -> None:
        first, last = self.options.temperatures
        # geometric, so that the last epoch before the cut has the last temperature
        temperature = first * (last / first) ** (epoch / (epochs - 1) if epochs > 1 else 1.0)

        def scores(_: str, conv: nn.Conv2d) -> Tensor:
            return importances(conv.parametrizations[WEIGHT].original.flatten(1), temperature)  # type: ignore[index, union-attr]

        for group, left in zip(self.plan.groups, self.plan.left, strict=True):
            kept = best(group_scores(model, group, scores), left)
            for member, parametrisation in self._parametrisations(model, group.members):
                parametrisation.rows.copy_(_positions(member, kept, group.size))
                if isinstance(parametrisation, FusedFilters):
                    parametrisation.temperature.fill_(temperature)

    def choose(self, model: nn.Module, images: Images) -> tuple[Tensor, ...]:
        """Those of the epoch that has ended: the network computes with them."""
        chosen = []
        for group in self.plan.groups:
            member, parametrisation = next(iter(self._parametrisations(model, group.members)))
            of = dict(zip(member.positions.tolist(), member.channels.tolist(), strict=True))
            chosen.append(torch.tensor(sorted(of[row] for row in parametrisation.rows.tolist())))
        return tuple(chosen)

    def fold(self, model: nn.Module) -> None:
        for module in list(model.modules()):
            for name in list(getattr(module, "parametrizations", ())):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)

    @staticmethod
    def _parametrisations(
        model: nn.Module, members: tuple[Member, ...]
    ) -> list[tuple[Member, FusedFilters | KeptRows]]:
        found = []
        for member in members:
            module = model.get_submodule(member.layer)
            if member.side == "out":
                for chain in getattr(module, "parametrizations", {}).values():
                    found.append((member, chain[0]))
        return found


def _positions(member: Member, kept: Tensor, size: int) -> Tensor:
    """Where a layer has the channels `kept`, ascending."""
    stays = torch.zeros(size, dtype=torch.bool)
    stays[kept] = True
    return member.positions[stays[member.channels]].sort().values
