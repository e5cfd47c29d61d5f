"""How the layers here compute the golden cases: the source's tensors by name -> the outputs that the source gave."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from linconv.layers import method_class
from tests.golden import Case, Outputs

Inputs = dict[str, Tensor]


def layer(case: Case, method: str | None = None) -> Any:
    """A layer of the case in double precision, in evaluation mode unless the case trains."""
    made = method_class(method or case.method)(**case.arguments, dtype=torch.float64, **case.options)
    return made.train(case.more.get("training", False))


def run(module: Any, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    """The output with these parameters and buffers, through which gradients pass."""
    return torch.func.functional_call(module, parameters, (x,))


def matrix(pointwise: Tensor) -> Tensor:
    """(M, K, 1, 1) -> (M, K)."""
    return pointwise[:, :, 0, 0]


def twice(maps: Tensor) -> Tensor:
    """Every pixel repeated over 2x2."""
    return maps.repeat_interleave(2, -1).repeat_interleave(2, -2)


def octconv(case: Case, given: Inputs) -> Outputs:
    high = [given["conv_h2h.weight"]]
    low = [given["conv_h2l.weight"]]
    x = given["high"]
    if "low" in given:
        x = torch.cat([x, twice(given["low"])], 1)
        high.append(given["conv_l2h.weight"])
        low.append(given["conv_l2l.weight"])
    out = run(layer(case), {"filters": torch.cat([torch.cat(high, 1), torch.cat(low, 1)])}, x)
    split = len(high[0])
    return {"high": out[:, :split], "low": out[:, split:, ::2, ::2]}


LAYERS = {"octconv": octconv}
