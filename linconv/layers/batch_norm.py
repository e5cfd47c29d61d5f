"""Folding batch normalization into the layer before it, exactly, in a plain convolution and in a LinearConv.

At inference batch normalization is y -> g y + t for each channel, with g = gamma / sqrt(variance + eps) and
t = beta - g mean. A convolution with filters W and bias b followed by it is the convolution with G W and g b + t,
G = diag(g). Of a LinearConv, W = [V; A V], with G1 and G2 the scales of the primary and the secondary filters:

    G W = [V'; A' V'],  V' = G1 V,  A' = G2 A G1^-1.

No scale of a primary filter may be 0. Of A = C R, C' = G2 C and R' = R G1^-1.
"""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from linconv.layers.coefficients import FullCoefficients, LowRankCoefficients
from linconv.layers.linear_conv import LinearConv2d
from linconv.layers.replacement import ConvReplacement
from linconv.layers.replacing import has_hooks

NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """g and t of a batch normalization at inference, (N,) each, in double precision."""
    assert isinstance(norm, (nn.BatchNorm2d, nn.SyncBatchNorm))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -scale * norm.running_mean.double()
    return scale, shift if norm.bias is None else shift + norm.bias.detach().double()


@torch.no_grad()
def fold_into_conv(conv: nn.Conv2d, norm: nn.Module) -> nn.Conv2d:
    """The plain convolution that equals a convolution followed by batch normalization, in the convolution's layout."""
    scale, shift = scale_and_shift(norm)
    folded = copy.deepcopy(conv)
    folded.weight.copy_(conv.weight.double() * scale[:, None, None, None])
    folded.bias = nn.Parameter(_shifted(conv.bias, scale, shift).to(conv.weight.dtype))
    return folded


@torch.no_grad()
def fold_into_linear(layer: LinearConv2d, norm: nn.Module) -> LinearConv2d | None:
    """The LinearConv that equals one followed by batch normalization; None where a primary filter's scale is 0."""
    scale, shift = scale_and_shift(norm)
    first, second = scale.split([layer.primaries, layer.coefficients.secondaries])
    if not bool((first != 0).all()):
        return None
    folded = copy.deepcopy(layer)
    folded.primary_filters.copy_(layer.primary_filters.double() * first[:, None, None, None])
    coefficients = folded.coefficients
    if isinstance(coefficients, LowRankCoefficients):
        coefficients.left.copy_(coefficients.left.double() * second[:, None])
        coefficients.right.copy_(coefficients.right.double() / first)
    else:
        assert isinstance(coefficients, FullCoefficients)
        coefficients.weight.copy_(coefficients.weight.double() * second[:, None] / first)
    folded.bias = nn.Parameter(_shifted(layer.bias, scale, shift).to(layer.primary_filters.dtype))
    return folded


def _shifted(bias: Tensor | None, scale: Tensor, shift: Tensor) -> Tensor:
    return shift if bias is None else scale * bias.double() + shift


class _Uses(TorchDispatchMode):
    """Which operations outside the one allowed module take the output of a convolution, or keep it."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[int, tuple[nn.Module, Tensor]] = {}  # by the identity of a tensor, which is kept alive
        self.inside: nn.Module | None = None
        self.users: dict[nn.Module, set[nn.Module | None]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.note((args, kwargs))
        return func(*args, **(kwargs or {}))

    def note(self, taken: object) -> None:
        """Remember that the layers whose outputs are among these tensors are used by the module at work."""
        for leaf in tree_leaves(taken):
            if isinstance(leaf, Tensor) and id(leaf) in self.outputs:
                self.users[self.outputs[id(leaf)][0]].add(self.inside)

    def forget(self) -> None:
        """Remember that those outputs are used that the model or its result still has: in an attribute, say."""
        kept = [(layer, weakref.ref(output)) for layer, output in self.outputs.values()]
        self.outputs.clear()
        if any(output() is not None for _, output in kept):
            gc.collect()  # what lies in a cycle that nobody has any more is not kept
        for layer, output in kept:
            if output() is not None:
                self.users[layer].add(None)


@torch.no_grad()
def find_norms(model: nn.Module, sample_input: Tensor) -> dict[nn.Module, nn.Module]:
    """The batch normalization that may be folded into each convolution or layer in a convolution's place.

    One pass over `sample_input` shows them: the layer is called once, its output goes nowhere else than into a
    `BatchNorm2d` or `SyncBatchNorm` with running statistics, which is called once, and neither has hooks. An output
    that is there after the pass, in the model's result or in an attribute, goes elsewhere.

    Args:
        model: in evaluation mode.
        sample_input: (n, c, h, w).
    """
    inner = {
        m for layer in model.modules() if isinstance(layer, ConvReplacement) for m in layer.modules() if m != layer
    }
    layers = [m for m in model.modules() if m not in inner and _takes_norm(m) and not has_hooks(m)]
    norms = [m for m in model.modules() if type(m) in NORMS and m.running_mean is not None and not has_hooks(m)]
    uses = _Uses()
    sources: dict[nn.Module, list[int]] = {}  # the identities of what goes into a batch normalization
    calls: dict[nn.Module, int] = {}

    def made(layer: nn.Module, _: object, output: object) -> None:
        calls[layer] = calls.get(layer, 0) + 1
        if isinstance(output, Tensor):
            uses.outputs[id(output)] = layer, output
            uses.users.setdefault(layer, set())

    def enters(norm: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        uses.inside = norm
        sources.setdefault(norm, []).extend(map(id, tree_leaves((arguments, named))))

    def leaves(norm: nn.Module, _: object, output: object) -> None:
        uses.inside = None

    handles: list[RemovableHandle] = [layer.register_forward_hook(made) for layer in layers]
    for norm in norms:
        handles += [norm.register_forward_pre_hook(enters, with_kwargs=True), norm.register_forward_hook(leaves)]
    try:
        with uses:
            result = model(sample_input)
    finally:
        for handle in handles:
            handle.remove()
    layers_of = {norm: uses.outputs.get(taken[0], (None,))[0] for norm, taken in sources.items() if len(taken) == 1}
    uses.forget()
    del result
    found: dict[nn.Module, nn.Module] = {}
    for norm, layer in layers_of.items():
        if layer is not None and calls[layer] == 1 and uses.users[layer] == {norm}:
            found[layer] = norm
    return found


def _takes_norm(module: nn.Module) -> bool:
    # a parametrized or normalized weight is made anew at every call
    return isinstance(module, ConvReplacement) or (type(module) is nn.Conv2d and "weight" in module._parameters)
