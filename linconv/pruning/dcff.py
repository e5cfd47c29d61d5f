"""Dynamic-coded filter fusion: the compact network is trained from the start, its filters mixed of all.

M. Lin et al., "Training Compact CNNs for Image Classification using Dynamic-coded Filter Fusion", TPAMI 2023. A
filter's proxy is the softmax over its distances to all filters, p_i = softmax_j(-T ||w_i - w_j||); a filter's
importance is the sum over j of KL(p_i || p_j); the m most important rows of P W are the layer's filters. With T
rising, every row comes to be the filter itself.

A layer of the source has as many inputs as the layer before it keeps. Here the other inputs are 0, so distances are
taken over the kept inputs alone.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from linconv.pruning.channels import Cut, Member, dimension
from linconv.pruning.criterion import Criterion, Images, best, group_scores, producers

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


def seen(weight: Tensor, live: Tensor) -> Tensor:
    """Filters (N, c/g, kh, kw) as (N, D), 0 for inputs that are not live: they take no part in a distance."""
    return torch.where(live[:, None, None], weight, 0).flatten(1)


def temperature(schedule: str, first: float, last: float, epoch: int, epochs: int) -> float:
    """T of an epoch, counted from 0, of so many before channels are cut.

    "sigmoid": the source's, which is near the last T after a few epochs: equation 9 with k = 1, from the first T at
    epoch 0 to the last at `epochs`. "geometric": the same factor from epoch to epoch, up to the last T in the last one.
    """
    if schedule == "geometric":
        return float(first * (last / first) ** (epoch / (epochs - 1) if epochs > 1 else 1.0))
    height = 2 * (last - first) * (1 + math.exp(-epochs)) / (1 - math.exp(-epochs))
    return height / (1 + math.exp(-epoch)) + first - height / 2


class FusedFilters(nn.Module):
    """Parametrization of a convolution's weight: rows of P W where `rows` says so, 0 elsewhere.

    Args:
        rows: how many rows are kept.
        inputs: of the convolution, c/g; `live` are those that are not 0, over which distances are taken.
    """

    rows: Tensor
    live: Tensor
    temperature: Tensor

    def __init__(self, rows: int, inputs: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.arange(rows, device="cpu"))
        self.register_buffer("live", torch.ones(inputs, dtype=torch.bool, device="cpu"))
        self.register_buffer("temperature", torch.ones((), device="cpu"))

    def forward(self, weight: Tensor) -> Tensor:
        filters = weight.flatten(1)
        with torch.autocast(weight.device.type, enabled=False):  # 1e4 times a distance needs every bit
            fused = log_proxies(seen(weight, self.live), self.rows, self.temperature).exp() @ filters
        return torch.zeros_like(filters).index_copy(0, self.rows, fused).view(weight.shape)


class KeptRows(nn.Module):
    """Parametrization of a vector with an entry per channel (bias, scale): 0 but for `rows`."""

    rows: Tensor

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.arange(rows, device="cpu"))

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
                for name, parameter in list(module.named_parameters(recurse=False)):
                    if dimension(module, "out", name) is None:
                        continue
                    made: nn.Module = KeptRows(left)
                    if isinstance(module, nn.Conv2d) and name == WEIGHT:
                        made = FusedFilters(left, module.in_channels // module.groups)
                    parametrize.register_parametrization(module, name, made.to(parameter.device))

    @torch.no_grad()
    def at_epoch(self, model: nn.Module, epoch: int, epochs: int) -> None:
        at = temperature(self.options.schedule, *self.options.temperatures, epoch, epochs)
        for group, kept in zip(self.plan.groups, self._chosen(model, at), strict=True):
            for member, parametrisation in self._parametrisations(model, group.members):
                parametrisation.rows.copy_(_positions(member, kept, group.size))
                if isinstance(parametrisation, FusedFilters):
                    parametrisation.temperature.fill_(at)

    def _chosen(self, model: nn.Module, at: float) -> list[Tensor]:
        """The channels of every group, in order, each chosen over the inputs that the groups before it leave.

        Of layers whose outputs are added, those whose inputs are not chosen yet have no say, unless all wait: so no
        input that is cut decides anything.
        """
        groups = self.plan.groups
        feeds: dict[str, list[int]] = {}
        for i, group in enumerate(groups):
            for member in group.members:
                if member.side == "in":
                    feeds.setdefault(member.layer, []).append(i)
        kept = [torch.arange(group.size, device="cpu") for group in groups]
        for i, (group, left) in enumerate(zip(groups, self.plan.left, strict=True)):
            layers = [name for name, _ in producers(model, group)]
            ready = [name for name in layers if all(j < i for j in feeds.get(name, ()))] or layers

            def scores(name: str, conv: nn.Conv2d, ready: list[str] = ready) -> Tensor:
                chain: Any = conv.parametrizations[WEIGHT]  # type: ignore[index]
                if name not in ready:
                    return chain.original.new_zeros(len(chain.original))
                return importances(seen(chain.original, chain[0].live), at)

            self._set_live(model, kept)
            kept[i] = best(group_scores(model, group, scores), left)
        self._set_live(model, kept)
        return kept

    def _set_live(self, model: nn.Module, kept: list[Tensor]) -> None:
        for (layer, side), positions in Cut(model, self.plan.groups, kept).sides.items():
            parametrisations = getattr(model.get_submodule(layer), "parametrizations", {})
            if side == "in" and WEIGHT in parametrisations:
                live = parametrisations[WEIGHT][0].live
                live.zero_()
                live[positions.to(live.device)] = True

    def choose(self, model: nn.Module, images: Images) -> tuple[Tensor, ...]:
        """Those of the epoch that has ended: the network computes with them."""
        chosen = []
        for group in self.plan.groups:
            member, parametrisation = next(iter(self._parametrisations(model, group.members)))
            of = dict(zip(member.positions.tolist(), member.channels.tolist(), strict=True))
            chosen.append(torch.tensor(sorted(of[row] for row in parametrisation.rows.tolist()), device="cpu"))
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
    stays = torch.zeros(size, dtype=torch.bool, device="cpu")
    stays[kept] = True
    return member.positions[stays[member.channels]].sort().values
