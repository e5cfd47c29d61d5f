"""Which channels of a network must go together, and the network without some of them.

torch-pruning (G. Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023) finds the dependencies; the
cut itself is a selection of rows and columns, so that an optimizer's moments can be cut in the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from linconv.config.errors import UserError
from linconv.config.rules import check_size
from linconv.layers import ConvReplacement
from linconv.layers.images import check_values, image_of
from linconv.layers.options import several_names
from linconv.layers.replacing import check_module, tied
from linconv.pruning.following import followed, is_frozen_norm, tied_channels, traceable

log = logging.getLogger("linconv")
Side = Literal["out", "in"]
NOTHING = "pruning: the network has no nn.Conv2d whose channels can be cut"
UNMET = "does not run, or runs where no gradient goes (torch.no_grad, detach)"
Kept = Sequence[Tensor]  # the channels that stay, ascending, one tensor for each group


class Member(NamedTuple):
    """A layer tied to a group: position `positions[i]` of its outputs (or inputs) is the group's `channels[i]`."""

    layer: str
    side: Side
    positions: Tensor
    channels: Tensor


class Group(NamedTuple):
    """Channels 0 to `size` - 1 that each stay or go in all members at once; `name` is that of the first convolution."""

    name: str
    size: int
    members: tuple[Member, ...]


@torch.inference_mode(False)
def channel_groups(
    model: nn.Module, input_shape: tuple[int, int, int], *, exclude: Sequence[str] = ("classifier",)
) -> tuple[Group, ...]:
    """The groups of channels that can be cut, in the order in which the model registers their convolutions.

    Args:
        model: a plain network, not changed.
        input_shape: of one image, (c, h, w).
        exclude: names of layers whose outputs must stay, or patterns (`fnmatch`) of them: those that give the class
            scores. The name of a module that has layers stands for all of them.

    Raises:
        ValueError: `input_shape` is no size of an image.
        TypeError: `model` is no module, or `exclude` no list of strings.
        UserError: the model has no layer of a name in `exclude`, nothing to cut, a convolution that has channel groups
            and is not depthwise, a layer that shares parameters with another one or is of a kind that cannot be cut, or
            connections that torch-pruning does not understand.
    """
    check_module(model)
    check_size(input_shape, "input_shape")
    exclude = several_names(exclude, "exclude: a list of names of layers", "classifier")
    _check_plain(model)
    model = traceable(model)
    names = {module: name for name, module in model.named_modules()}
    excluded = _named(model, exclude)
    graph = followed(model, image_of(model, input_shape), names)
    found = tied_channels(graph, names, excluded)
    met = excluded | graph.module2node.keys()
    unmet = [name for module, name in names.items() if isinstance(module, nn.Conv2d) and module not in met]
    if unmet:
        log.warning("pruning: all channels stay of %s, which %s", ", ".join(unmet), UNMET)
    order = {name: i for i, name in enumerate(names.values())}
    shared = tied(model)
    groups = []
    for items in found:
        members: dict[tuple[str, Side], Member] = {}
        for item in items:
            module = item.dep.target.module
            if isinstance(module, nn.Module):
                _check_weight(names.get(module, ""), module)
            if not _has_channels(module):
                continue
            side: Side = "out" if graph.is_out_channel_pruning_fn(item.dep.handler) else "in"
            _check(names[module], module, shared.get(module))
            if _is_depthwise(module):  # its inputs are its outputs
                side = "out"
            positions, channels = (torch.tensor(i, device="cpu") for i in (item.idxs, item.root_idxs))
            members[names[module], side] = Member(names[module], side, positions, channels)
        ordered = tuple(sorted(members.values(), key=lambda m: order[m.layer]))
        _check_positions(model, ordered)
        root = next(m for m in ordered if m.side == "out" and isinstance(model.get_submodule(m.layer), nn.Conv2d))
        _check_channels(root, ordered)
        groups.append(Group(root.layer, len(root.channels), ordered))
    if not groups:
        raise UserError(f"{NOTHING}: {unmet[0]} {UNMET}" if unmet else NOTHING)
    return tuple(sorted(groups, key=lambda g: order[g.name]))


def _has_channels(module: object) -> bool:
    return isinstance(module, nn.Module) and (
        isinstance(module, _BatchNorm) or any(True for _ in module.parameters(recurse=False))
    )


def _named(model: nn.Module, patterns: Sequence[str]) -> set[nn.Module]:
    """The modules whose names are, or match, one of the patterns, with all that they contain."""
    found = set[nn.Module]()
    for pattern in patterns:
        matching = [m for name, m in model.named_modules() if name == pattern or fnmatchcase(name, pattern)]
        if not matching:
            last = [name for name, m in model.named_modules() if any(True for _ in m.parameters(recurse=False))][-1:]
            example = f", such as {last[0]!r}" if last and last[0] else ""
            raise UserError(
                f"pruning: no layer {pattern} in the network; `exclude` names those of the class scores{example}"
            )
        found.update(layer for module in matching for layer in module.modules())
    return found


def _check_plain(model: nn.Module) -> None:
    check_values(model, "pruning", meta=True)
    if not any(isinstance(module, nn.Conv2d | ConvReplacement) for module in model.modules()):
        raise UserError(NOTHING)
    for name, parameter in model.named_parameters():
        if parameter.is_complex():
            raise UserError(f"pruning: {name} is complex, and only real channels can be cut; leave this network out")
    for name, module in model.named_modules():
        if isinstance(module, ConvReplacement):
            raise UserError(
                f"pruning: layer {name} is a {type(module).__name__}, and only plain convolutions can be cut; "
                "prune the plain network, or fold this one first (linconv.fold)"
            )


def _check_positions(model: nn.Module, members: Sequence[Member]) -> None:
    for member in members:
        size, last = _size(model.get_submodule(member.layer), member.side), int(member.positions.max())
        if last >= size:
            raise UserError(
                f"pruning: torch-pruning looks for channel {last} of layer {member.layer}, which has {size}; "
                "leave this network out"
            )


def _check_channels(root: Member, members: Sequence[Member]) -> None:
    for member in members:
        if (last := int(member.channels.max())) >= len(root.channels):
            raise UserError(
                f"pruning: torch-pruning has layer {member.layer} follow channel {last} of layer {root.layer}, which "
                f"has {len(root.channels)}; leave this network out"
            )


def dimension(module: nn.Module, side: Side, tensor: str) -> int | None:
    """The dimension of a layer's tensor (`weight`, `bias`, `running_mean`, …) that counts the channels of that side."""
    if isinstance(module, _BatchNorm) or is_frozen_norm(module):
        return None if tensor == "num_batches_tracked" else 0
    if side == "in":
        return 1 if tensor == "weight" else None
    return 0


class Cut:
    """What stays of each tensor of a model when a group keeps the channels `kept`."""

    def __init__(self, model: nn.Module, groups: Sequence[Group], kept: Kept) -> None:
        stays: dict[tuple[str, Side], Tensor] = {}
        for group, channels in zip(groups, kept, strict=True):
            remains = torch.zeros(group.size, dtype=torch.bool, device="cpu")
            remains[channels.cpu()] = True
            for member in group.members:
                size = _size(model.get_submodule(member.layer), member.side)
                everything = torch.ones(size, dtype=torch.bool, device="cpu")
                mask = stays.setdefault((member.layer, member.side), everything)
                mask[member.positions] &= remains[member.channels]
        self.sides: Mapping[tuple[str, Side], Tensor] = {at: mask.nonzero().flatten() for at, mask in stays.items()}
        self._tensors: dict[str, list[tuple[int, Tensor]]] = {}
        for (layer, side), positions in self.sides.items():
            module = model.get_submodule(layer)
            for name, _ in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
                if (dim := dimension(module, side, name)) is not None:
                    self._tensors.setdefault(f"{layer}.{name}", []).append((dim, positions))

    def shape(self, name: str, tensor: Tensor) -> list[int]:
        """The shape of what stays of the tensor `name`."""
        sizes = list(tensor.shape)
        for dim, positions in self._tensors.get(name, ()):
            sizes[dim] = len(positions)
        return sizes

    def of(self, name: str, tensor: Tensor) -> Tensor:
        """What stays of the tensor `name`, or of one that has its shape, such as a moment of its gradient."""
        out = tensor.detach()
        for dim, positions in self._tensors.get(name, ()):
            out = out.index_select(dim, positions.to(out.device))
        if out.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
            out = out.contiguous(memory_format=torch.channels_last)
        return out


def cut_channels(model: nn.Module, groups: Sequence[Group], kept: Kept) -> Cut:
    """Leave only the channels `kept` in a model, in place: a plain network again, and a smaller one.

    Returns:
        The cut, for what else has the shape of the model's tensors.
    """
    cut = Cut(model, groups, kept)
    for layer in dict.fromkeys(layer for layer, _ in cut.sides):
        module = model.get_submodule(layer)
        for name, old in list(module.named_parameters(recurse=False)):
            new = nn.Parameter(cut.of(f"{layer}.{name}", old), requires_grad=old.requires_grad)
            vars(new).update(vars(old))  # marks, such as for an optimizer
            setattr(module, name, new)
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, cut.of(f"{layer}.{name}", buffer))
    for (layer, side), positions in cut.sides.items():
        _set_size(model.get_submodule(layer), side, len(positions))
    return cut


def _check_weight(name: str, module: nn.Module) -> None:
    made = (
        "is parametrized; remove the parametrization first"
        if nn.utils.parametrize.is_parametrized(module)
        else "is made by a hook (weight norm, spectral norm or pruning); remove the hook first"
        if isinstance(module, nn.Conv2d | nn.Linear | _BatchNorm) and "weight" not in module._parameters
        else None
    )
    if made:
        raise UserError(f"pruning: the weight of layer {name} {made}")


def _check(name: str, module: nn.Module, shared: str | None) -> None:
    if shared is not None:
        raise UserError(f"pruning: layer {name} shares its parameters with {shared}; give each its own first")
    if isinstance(module, nn.Conv2d):
        if module.groups > 1 and not _is_depthwise(module):
            raise UserError(
                f"pruning: convolution {name} has groups={module.groups}, whose channels cannot be cut one by one; "
                "leave this network out (see `exclude` in the configuration)"
            )
    elif not isinstance(module, nn.Linear | _BatchNorm):
        raise UserError(f"pruning: layer {name} is a {type(module).__name__}, of which channels cannot be cut")


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels == module.out_channels


_SIZES: dict[type, dict[Side, tuple[str, ...]]] = {
    nn.Conv2d: {"out": ("out_channels",), "in": ("in_channels",)},
    nn.Linear: {"out": ("out_features",), "in": ("in_features",)},
    _BatchNorm: {"out": ("num_features",), "in": ("num_features",)},
}


def _size_names(module: nn.Module, side: Side) -> tuple[str, ...]:
    if _is_depthwise(module):
        return ("out_channels", "in_channels", "groups")
    if is_frozen_norm(module):
        return ("num_features",) if hasattr(module, "num_features") else ()
    return next(names[side] for kind, names in _SIZES.items() if isinstance(module, kind))


def _size(module: nn.Module, side: Side) -> int:
    if is_frozen_norm(module):
        return len(module.get_buffer("weight"))
    return int(getattr(module, _size_names(module, side)[0]))


def _set_size(module: nn.Module, side: Side, size: int) -> None:
    for name in _size_names(module, side):
        setattr(module, name, size)
