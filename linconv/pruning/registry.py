"""From the name of a pruning criterion to the criterion."""

from __future__ import annotations

from linconv.catalogue.criteria import CRITERIA
from linconv.config.pruning import Pruning
from linconv.pruning.criterion import Criterion
from linconv.pruning.plan import Plan


def make_criterion(plan: Plan, options: Pruning) -> Criterion:
    """The criterion that `options` name."""
    criterion: Criterion = CRITERIA[options.criterion].load()(plan, options)
    return criterion
