"""Layers that share parameters, and one set of tensors for whatever takes their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from linconv.layers.memory import Address, address_of, owners_of
from linconv.layers.replacement import ConvReplacement


class Shared(NamedTuple):
    """What shares the parameters of filters in a model.

    Attributes:
        groups: of layers of one class with the same parameters in all filters.
        others: layers that share some parameters with anything else, and the name of one such module.
        modules: every convolution or layer with a parameter that is also outside of it.
    """

    groups: list[list[ConvReplacement]]
    others: dict[ConvReplacement, str]
    modules: set[nn.Module]


def find_shared(model: nn.Module) -> Shared:
    """The layers and plain convolutions of a model that share parameters with others."""
    owners = {place: found for place, found in owners_of(model).items() if len(found) > 1}
    modules: set[nn.Module] = set()
    alike: dict[tuple[type, tuple[Address, ...]], list[ConvReplacement]] = {}
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | ConvReplacement):
            inside = set(layer.modules())
            if any(owners.get(address_of(p), {}).keys() - inside for p in layer.parameters()):
                modules.add(layer)
            if isinstance(layer, ConvReplacement):
                filters = tuple(address_of(p) for name, p in layer.named_parameters() if name != "bias")
                if any(owners.get(place, {}).keys() - inside for place in filters):
                    alike.setdefault((type(layer), filters), []).append(layer)
    groups, others = [], dict[ConvReplacement, str]()
    for (_, filters), group in alike.items():
        within = {module for layer in group for module in layer.modules()}
        outside = [name for place in filters for m, name in owners.get(place, {}).items() if m not in within]
        if outside:
            others |= dict.fromkeys(group, outside[0])
        else:
            groups.append(group)
    return Shared(groups, others, modules)


def share_tensors(groups: Sequence[Sequence[nn.Module]], replacements: Mapping[nn.Module, nn.Module]) -> None:
    """Let the replacements of each group have the tensors of the first one, wherever those are equal."""
    for group in groups:
        first, *rest = [replacements[layer] for layer in group if layer in replacements]
        ours = dict(first.named_parameters())
        for other in rest:
            for name, parameter in list(other.named_parameters()):
                path, _, last = name.rpartition(".")
                if (same := ours.get(name)) is not None and torch.equal(same, parameter):
                    setattr(other.get_submodule(path), last, same)
