"""Where a convolution stands in its network: what a method may want to know before it takes that place."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.pooling import _AvgPoolNd, _MaxPoolNd

log = logging.getLogger("linconv")
RELU_MODULES = (nn.ReLU, nn.ReLU6)
RELU_CALLS = {F.relu, F.relu_, F.relu6, torch.relu, torch.relu_, "relu", "relu_"}
PASSED = (_BatchNorm, _AvgPoolNd, _MaxPoolNd, nn.GroupNorm, nn.Identity, nn.Dropout, nn.Dropout2d)


class Place(NamedTuple):
    """What surrounds a convolution.

    Attributes:
        relu_follows: whether its output reaches a ReLU, through normalization, pooling and dropout alone, before it is
            added to something or used twice. None where nothing is known.
    """

    relu_follows: bool | None = None


def places_of(model: nn.Module) -> dict[nn.Module, Place]:
    """The place of every convolution of a model that `torch.fx` can trace; empty, with a line in the log, for others.

    A convolution that is called several times is followed by a ReLU where all calls are.
    """
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # whatever a network of another's making does with the values it is given
        log.info("the network cannot be traced, so what follows its convolutions is unknown: %s", error)
        return {}
    found: dict[nn.Module, Place] = {}
    for node in graph.nodes:
        if (module := _module(model, node)) is not None and isinstance(module, nn.Conv2d):
            before = found.get(module, Place(True)).relu_follows
            found[module] = Place(bool(before and _relu_follows(model, node)))
    return found


def _relu_follows(model: nn.Module, node: fx.Node) -> bool:
    while len(node.users) == 1:
        (node,) = node.users
        module = _module(model, node)
        if isinstance(module, RELU_MODULES) or (module is None and node.target in RELU_CALLS):
            return True
        if not isinstance(module, PASSED):
            return False
    return False


def _module(model: nn.Module, node: fx.Node) -> Any:
    return model.get_submodule(str(node.target)) if node.op == "call_module" else None
