"""Whether a network without some of its channels is the network that it is meant to be."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from linconv.config.errors import UserError, first_line
from linconv.layers.copies import copied
from linconv.layers.images import not_run, one_image
from linconv.pruning.channels import Cut, Group, Kept, cut_channels

DTYPES = ((torch.float64, 1e-6), (torch.float32, 1e-2))  # and how far the outputs may differ, relative to the largest


def check_cut(model: nn.Module, input_shape: tuple[int, int, int], groups: Sequence[Group], kept: Kept) -> None:
    """Raise UserError, with the name of a layer, unless a cut network runs and computes what it should.

    What it should compute is what the whole network computes where nothing reads the channels that go. Both run on one
    image with random weights, in evaluation mode, as copies.

    Args:
        input_shape: of one image, (c, h, w).
        kept: the channels that stay, of each group.
    """
    image, whole, tolerance = _runnable(model, input_shape)
    if not (reason := _fault(whole, image, groups, kept, tolerance)):
        return
    first = _first_fault(whole, image, groups, kept, tolerance)
    alone = [
        k if i == first else torch.arange(g.size, device="cpu")
        for i, (g, k) in enumerate(zip(groups, kept, strict=True))
    ]
    if found := _fault(whole, image, groups, alone, tolerance):
        raise UserError(f"pruning: the channels of layer {groups[first].name} cannot be cut: {found}; {_REMEDY}")
    raise UserError(
        f"pruning: the channels of layers {', '.join(group.name for group in groups[:3])}, … cannot be cut "
        f"together: {reason}; {_REMEDY}"
    )


def _first_fault(whole: nn.Module, image: Tensor, groups: Sequence[Group], kept: Kept, tolerance: float) -> int:
    """The number of the first group with which a cut of all groups up to it is at fault, by bisection."""
    right, wrong = 0, len(groups)  # how many groups, from the first one, can be cut and cannot
    while wrong - right > 1:
        middle = (right + wrong) // 2
        some = [
            k if i < middle else torch.arange(g.size, device="cpu")
            for i, (g, k) in enumerate(zip(groups, kept, strict=True))
        ]
        if _fault(whole, image, groups, some, tolerance):
            wrong = middle
        else:
            right = middle
    return wrong - 1


_REMEDY = "name the layer in `exclude`, or leave this network out"


def _runnable(model: nn.Module, input_shape: tuple[int, int, int]) -> tuple[Tensor, nn.Module, float]:
    """A random image, a copy of the model with random weights that runs on it, and a tolerance."""
    error: Exception | None = None
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    for dtype, tolerance in DTYPES:
        whole = copied(model).eval()
        if torch.device("meta") in devices:
            whole = whole.to_empty(device="cpu")
        whole = whole.to(dtype)
        device = next(whole.parameters()).device
        drawn = torch.Generator("cpu").manual_seed(0)
        image = torch.randn(1, *input_shape, dtype=dtype, device="cpu", generator=drawn).to(device)
        _randomize(whole, drawn)
        try:
            outputs = _outputs(whole, image)
        except Exception as raised:
            error = raised
        else:
            if not any(output.isfinite().any() for output in outputs):
                raise UserError(
                    "pruning: the network's outputs for a random image have no finite values, by which a cut could "
                    "be checked; prune a part of the network, such as its backbone"
                )
            return image, whole, tolerance
    assert error is not None  # of the last precision
    raise UserError(f"pruning: {not_run(one_image(input_shape), error)}")


@torch.no_grad()
def _randomize(model: nn.Module, drawn: torch.Generator) -> None:
    def normal(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=drawn, device="cpu")

    def positive(tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, device="cpu").uniform_(0.5, 1.5, generator=drawn)

    for parameter in model.parameters():
        if parameter.dim() > 1:
            values = normal(parameter) / math.sqrt(max(1, parameter[0].numel()))
        else:
            values = positive(parameter)
        parameter.copy_(values)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.1 * normal(buffer))
        elif name.endswith("running_var"):
            buffer.copy_(positive(buffer))


def _fault(whole: nn.Module, image: Tensor, groups: Sequence[Group], kept: Kept, tolerance: float) -> str | None:
    """What is wrong with the network of such a cut."""
    small = copy.deepcopy(whole)
    try:
        cut = cut_channels(small, groups, kept)
    except IndexError as error:
        return f"its channels are not where they were expected: {first_line(error)}"
    running, last = [""], [""]
    for name, module in small.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: running.append(name))
        module.register_forward_hook(lambda *_: last.append(running.pop()))
    try:
        found = _outputs(small, image)
    except Exception as error:
        where = f"in {running[-1]}" if running[-1] else f"behind {last[-1]}"
        return f"without some of them the network does not run, {where}: {first_line(error)}"
    for ours, theirs in zip(found, _outputs(_unread(whole, cut), image), strict=True):
        if ours.shape != theirs.shape:
            return f"they are outputs of the network, {tuple(theirs.shape)} becomes {tuple(ours.shape)}"
        if not _agree(ours, theirs, tolerance):
            return "without some of them the network computes something else: layers after it meet the wrong channels"
    return None


def _agree(ours: Tensor, theirs: Tensor, tolerance: float) -> bool:
    """Whether two outputs agree: infinite or NaN at the same elements, such as masked logits, and close at all others.

    How close is relative to the largest finite value.
    """
    finite = theirs.isfinite()
    if not torch.allclose(ours[~finite], theirs[~finite], equal_nan=True):
        return False
    apart, largest = (ours[finite] - theirs[finite]).abs(), theirs[finite].abs()
    return not apart.numel() or float(apart.max()) <= tolerance * float(largest.max())


@torch.no_grad()
def _unread(whole: nn.Module, cut: Cut) -> nn.Module:
    """The whole network where no layer reads the channels that go."""
    masked = copy.deepcopy(whole)
    for (layer, side), positions in cut.sides.items():
        if side == "in":
            weight: Any = masked.get_submodule(layer).weight
            mask = torch.zeros(weight.shape[1], dtype=weight.dtype, device=weight.device)
            mask[positions.to(weight.device)] = 1
            weight.mul_(mask.view(1, -1, *[1] * (weight.dim() - 2)))
    return masked


@torch.no_grad()
def _outputs(model: nn.Module, image: Tensor) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(model(image)) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
