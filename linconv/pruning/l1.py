"""The norm of the filters, the usual control: H. Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017."""

from __future__ import annotations

from torch import Tensor, nn

from linconv.pruning.criterion import Criterion, Images, best, group_scores


def filter_norms(conv: nn.Conv2d) -> Tensor:
    """||f||_1 of every filter f, (N,)."""
    return conv.weight.detach().abs().flatten(1).sum(1)


class FilterNorm(Criterion):
    """Keeps the filters with the largest L1 norms."""

    def choose(self, model: nn.Module, images: Images) -> tuple[Tensor, ...]:
        return tuple(
            best(group_scores(model, group, lambda _, conv: filter_norms(conv)), left)
            for group, left in zip(self.plan.groups, self.plan.left, strict=True)
        )
