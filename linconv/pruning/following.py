"""What torch-pruning finds out about a network: which layers go together, and where it loses its way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from linconv.config.errors import UserError, first_line
from linconv.layers.copies import copied
from linconv.layers.images import one_image, running_on
from linconv.layers.replacing import replace_modules

MOST_POSITIONS = 64  # of the channels of a layer, relative to the largest dimension of all parameters


def traceable(model: nn.Module) -> nn.Module:
    """A copy of a model that torch-pruning can follow, which takes it to where gradients go and sets it to eval mode.

    Frozen parameters learn in it, and frozen batch norms, which have buffers alone, are batch norms.
    """
    model = copied(model)
    frozen = {module: module.get_buffer("weight") for module in model.modules() if is_frozen_norm(module)}
    norms = {m: nn.BatchNorm2d(len(w), device=w.device, dtype=w.dtype) for m, w in frozen.items()}
    model = replace_modules(model, norms)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
    return model


def is_frozen_norm(module: nn.Module) -> bool:
    """Whether a module is a batch norm whose parameters are buffers, as torchvision and others have it."""
    tensors = ("weight", "bias", "running_mean", "running_var")
    name = "FrozenBatchNorm"
    return any(name in cls.__name__ for cls in type(module).__mro__) and all(t in module._buffers for t in tensors)


def followed(model: nn.Module, image: Tensor, names: Mapping[nn.Module, str]) -> Any:
    """torch-pruning's graph of the dependencies of a model, which this call sets to evaluation mode.

    Raises:
        UserError: torch-pruning is not installed, or does not understand the model, or the model does not run.
    """
    try:
        import torch_pruning  # by no other part needed
    except ImportError:
        raise UserError("pruning needs the package torch-pruning: pip install 'torch-pruning>=1.6'") from None
    graph = torch_pruning.DependencyGraph()
    try:
        with torch.enable_grad():
            graph.build_dependency(model, image, verbose=False)
    except Exception as error:
        with torch.no_grad(), running_on(one_image(image.shape[1:]), before="pruning: "):
            model(image)
        near = next(_layers_near(error, names), "(unknown)")
        raise UserError(
            f"pruning: torch-pruning cannot follow the channels behind layer {near} "
            f"({first_line(error)}); leave this network out"
        ) from error
    return graph


def tied_channels(graph: Any, names: Mapping[nn.Module, str], excluded: set[nn.Module]) -> Iterator[Any]:
    """torch-pruning's groups of all channels of each convolution, without those that reach an excluded layer."""
    visited: set[nn.Module] = set()
    _update_index_mapping(graph)
    limit = MOST_POSITIONS * max(
        max(parameter.shape, default=1) for module in names for parameter in module.parameters()
    )
    for module in list(graph.module2node):
        if not isinstance(module, nn.Conv2d) or module in excluded or module in visited:
            continue
        prune = graph.get_pruner_of_module(module).prune_out_channels
        _check_growth(graph, module, prune, names[module], limit)
        try:
            items = graph.get_pruning_group(module, prune, list(range(module.out_channels)))
        except Exception as error:
            raise UserError(
                f"pruning: torch-pruning does not understand where the channels of layer {names[module]} go "
                f"({first_line(error)}); leave this network out"
            ) from error
        outputs = {
            dep.target.module
            for dep, _ in items
            if isinstance(dep.target.module, nn.Module) and graph.is_out_channel_pruning_fn(dep.handler)
        }
        visited |= outputs
        if not outputs & excluded:
            yield items


def _update_index_mapping(graph: Any) -> None:
    from torch_pruning.dependency.index_mapping import update_index_mapping

    update_index_mapping(graph)


def _check_growth(graph: Any, root: nn.Conv2d, prune: Any, name: str, limit: int) -> None:
    """Raise UserError where torch-pruning would follow more positions than any layer has, until memory is full.

    It takes each of several reshapes in a row for the whole of them, and multiplies.
    """
    pending, met = [(graph.module2node[root], prune, root.out_channels)], set()
    while pending:
        node, function, positions = pending.pop()
        for dependency in node.dependencies:
            if id(dependency) in met or not dependency.is_triggered_by(function):
                continue
            met.add(id(dependency))
            there = positions
            for mapping in dependency.index_mapping:
                stride = getattr(mapping, "_stride", 1)
                there = there // stride if getattr(mapping, "reverse", False) else there * stride
            if there > limit:
                raise UserError(
                    f"pruning: torch-pruning does not understand the reshapes behind layer {name}; leave this "
                    "network out"
                )
            pending.append((dependency.target, dependency.handler, there))


def _layers_near(error: Exception, names: Mapping[nn.Module, str]) -> Iterator[str]:
    """The layers whose channels torch-pruning followed when it failed, the nearest first."""
    trace, nodes = error.__traceback__, deque[Any]()
    while trace is not None:
        nodes.extendleft(v for v in trace.tb_frame.f_locals.values() if type(v).__name__ == "Node")
        trace = trace.tb_next
    met = set()
    while nodes:
        node = nodes.popleft()
        if node not in met:
            met.add(node)
            if node.module in names:
                yield names[node.module]
            nodes.extend(node.inputs)
