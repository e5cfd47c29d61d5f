"""Structured pruning of plain networks: which channels are tied together, which go, and the smaller network."""

from linconv.pruning.channels import Cut, Group, channel_groups, cut_channels
from linconv.pruning.criterion import Criterion
from linconv.pruning.plan import Plan, make_plan, pruned_network
from linconv.pruning.registry import make_criterion

__all__ = [
    "Criterion",
    "Cut",
    "Group",
    "Plan",
    "channel_groups",
    "cut_channels",
    "make_criterion",
    "make_plan",
    "pruned_network",
]
