"""The pruning criteria by their names in the configuration."""

from __future__ import annotations

from linconv.config.pruning import Pruning
from linconv.pruning.betarank import BetaRank
from linconv.pruning.criterion import Criterion
from linconv.pruning.dcff import FilterFusion
from linconv.pruning.l1 import FilterNorm
from linconv.pruning.masksparsity import MaskSparsity
from linconv.pruning.plan import Plan

CRITERIA: dict[str, type[Criterion]] = {
    "l1": FilterNorm,
    "betarank": BetaRank,
    "masksparsity": MaskSparsity,
    "dcff": FilterFusion,
}


def make_criterion(plan: Plan, options: Pruning) -> Criterion:
    """The criterion that `options` name."""
    return CRITERIA[options.criterion](plan, options)
