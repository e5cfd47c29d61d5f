"""Folding the layers of a model back into plain convolutions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from linconv.layers.copies import copied
from linconv.layers.memory import address_of, owners_of
from linconv.layers.replacement import ConvReplacement
from linconv.layers.replacing import (
    check_module,
    refuse_hooks,
    refuse_wrappers,
    replace_modules,
)
from linconv.layers.sharing import find_shared


def fold(model: nn.Module, *, inplace: bool = False) -> nn.Module:
    """The plain model with the same outputs: every layer that knows its plain convolution is replaced by it.

    It is for inference, so it is a copy unless asked otherwise: the model that trains stays as it is. What carries over
    is what `convert` carries over. Layers with the same parameters become convolutions with the same parameters. An
    optimizer knows the parameters of the model that was given, not these.

    Args:
        inplace: change and return `model` itself instead of a copy.

    Raises:
        ValueError: a layer to fold has hooks, which would be lost, shares some of the parameters of its filters with
            another module, as a plain convolution cannot, or stands inside DistributedDataParallel, FSDP, torch.compile
            or TorchScript; or a layer of another package gives other outputs than its `weight` does.
    """
    check_module(model)
    refuse_wrappers(model, (ConvReplacement,), "fold")
    refuse_hooks((name, m) for name, m in model.named_modules() if isinstance(m, ConvReplacement) and m.folds)
    if not inplace:
        model = copied(model)
    layers = {m: name for name, m in model.named_modules() if isinstance(m, ConvReplacement) and m.folds}
    convs: dict[nn.Module, nn.Conv2d] = {layer: layer.to_conv2d() for layer in layers}
    for layer, name in layers.items():
        if not type(layer).__module__.startswith("linconv."):  # tests hold ours to their filters
            _compare(name, layer, convs[layer])
    _share(model, layers, convs)
    return replace_modules(model, convs)


def _share(model: nn.Module, layers: Mapping[ConvReplacement, str], convs: Mapping[nn.Module, nn.Conv2d]) -> None:
    """Let convolutions share what their layers share: a bias with any module, filters with an equal layer.

    Layers with one module inside them in common, as some methods make them, share nothing that has to stay shared.
    """
    owners = owners_of(model)
    for layer in layers:
        if layer.bias is not None and len(owners[address_of(layer.bias)]) > 1:
            convs[layer].bias = layer.bias
    shared = find_shared(model)
    for layer, other in shared.others.items():
        if layer in layers:
            _refuse(layers[layer], other)
    for group in shared.groups:
        folding = [layer for layer in group if layer in layers]
        for layer in folding[1:]:
            weight, first = convs[layer].weight, convs[folding[0]].weight
            if weight.shape != first.shape or not (weight.is_meta or torch.equal(weight, first)):
                _refuse(layers[layer], layers[folding[0]])
            convs[layer].weight = first


@torch.no_grad()
def _compare(name: str, layer: ConvReplacement, conv: nn.Conv2d) -> None:
    """Refuse a layer whose outputs are not those of its filters, on two random images of a few pixels."""
    if conv.weight.is_meta:
        return
    sides = [d * (k - 1) + 1 + s for k, d, s in zip(conv.kernel_size, conv.dilation, conv.stride, strict=True)]
    drawn = torch.Generator("cpu").manual_seed(0)
    x = torch.rand(2, conv.in_channels, *sides, generator=drawn, device="cpu").to(conv.weight)
    training = {module: module.training for module in layer.modules()}
    expected, found = conv(x), layer.eval()(x)
    for module, state in training.items():
        module.training = state
    error = float((found - expected).abs().max()) if found.shape == expected.shape else float("inf")
    allowed = max(10 * torch.finfo(x.dtype).eps, 1e-4) * float(expected.abs().max())
    if not error <= allowed:
        raise ValueError(
            f"{name or 'the model'}: {type(layer).__name__} gives other outputs than its `weight` (by up to "
            f"{error:.2g}), so it cannot be folded; linconv.testing.check_method says what else is wrong with it"
        )


def _refuse(name: str, other: str) -> None:
    raise ValueError(
        f"{name} shares parameters of its filters with {other}, and their plain convolutions would not; give each its "
        "own parameters first"
    )
