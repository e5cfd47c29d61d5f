"""How the penalties here compute the golden cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from linconv.layers import conv_orthogonal_penalty, correlation_penalty, orthogonal_penalty
from tests.golden import Case, Outputs


def penalty(module: nn.Module, parameters: dict[str, Tensor], function: Callable[..., Tensor], **more: Any) -> Tensor:
    """A penalty of the module with these parameters, through which gradients pass, (1,)."""

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self) -> Tensor:
            return function(self, **more)

    named = {f"inner.{name}": value for name, value in parameters.items()}
    return torch.func.functional_call(Whole(), named, ()).reshape(1)


def convolutions(*filters: Tensor, **arguments: Any) -> tuple[nn.Module, dict[str, Tensor]]:
    """Plain convolutions with the shapes of these filters, and their parameters."""
    made = nn.Sequential(
        *(
            nn.Conv2d(f.shape[1], f.shape[0], tuple(f.shape[2:]), bias=False, dtype=torch.float64, **arguments)
            for f in filters
        )
    )
    return made, {f"{i}.weight": f for i, f in enumerate(filters)}


def correlation(case: Case, given: dict[str, Tensor]) -> Outputs:
    return {"penalty": penalty(*convolutions(*given.values()), correlation_penalty, on="filters")}


def orthogonal(case: Case, given: dict[str, Tensor]) -> Outputs:
    return {"penalty": penalty(*convolutions(*given.values()), orthogonal_penalty, on="filters")}


def conv_orthogonal(case: Case, given: dict[str, Tensor]) -> Outputs:
    layer = convolutions(given["weight"], stride=case.arguments.get("stride", 1))
    return {"penalty": penalty(*layer, conv_orthogonal_penalty, on="filters", skip_stem=False)}


PENALTIES = {function.__name__: function for function in (correlation, orthogonal, conv_orthogonal)}
