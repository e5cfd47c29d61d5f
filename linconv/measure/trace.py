"""The layers of a network in the order in which they run, with the shapes that pass through them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from linconv.layers import ConvReplacement

CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.modules.conv._ConvNd, ConvReplacement)


class Call(NamedTuple):
    """One call of a layer for one image: shapes without the batch, and whether the input needs a gradient."""

    name: str
    module: nn.Module
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    input_needs_grad: bool


def trace(model: nn.Module, input_shape: tuple[int, ...]) -> list[Call]:
    """Every call of a convolution or leaf layer in a forward pass of one image, (c, h, w) or whatever the model takes.

    The pass runs on the meta device: shapes only, no arithmetic, no memory. A model that cannot (it makes tensors of
    its own on another device) is run for real on zeros instead. Train/eval state and buffers stay as they are.
    """
    try:
        return _trace(model, input_shape, meta=True)
    except (RuntimeError, NotImplementedError):
        return _trace(model, input_shape, meta=False)


def _trace(model: nn.Module, input_shape: tuple[int, ...], *, meta: bool) -> list[Call]:
    calls: list[Call] = []

    def record(name: str, module: nn.Module) -> RemovableHandle:
        def hook(_: nn.Module, args: tuple, kwargs: dict, output: object) -> None:
            source = next((a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)), None)
            result = output[0] if isinstance(output, tuple | list) else output
            if isinstance(source, Tensor) and isinstance(result, Tensor):
                shapes = tuple(source.shape[1:]), tuple(result.shape[1:])
                calls.append(Call(name, module, *shapes, source.requires_grad))

        return module.register_forward_hook(hook, with_kwargs=True)

    inside = {m for layer in model.modules() if isinstance(layer, ConvReplacement) for m in layer.modules()}
    leaves = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, ConvReplacement)
        or (module not in inside and (isinstance(module, CONVOLUTIONS) or not any(module.children())))
    ]
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    handles = [record(name, module) for name, module in leaves]
    try:
        with _eval_mode(model), torch.enable_grad():
            if meta:
                image = torch.empty(1, *input_shape, device="meta", dtype=_dtype(model))
                torch.func.functional_call(model, _blank(model), (image,), tie_weights=False)
            else:
                device = None if first is None else first.device
                model(torch.zeros(1, *input_shape, device=device, dtype=_dtype(model)))
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _blank(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer on the meta device, tied ones as one tensor.

    A module in several places has one name: what is put into it under a second name would never be taken out again.
    """
    made: dict[Tensor, Tensor] = {}
    blank = {}
    for place, module in model.named_modules():
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                if tensor not in made:
                    made[tensor] = torch.empty_like(tensor, device="meta").requires_grad_(tensor.requires_grad)
                blank[f"{place}.{name}" if place else name] = made[tensor]
    return blank


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    # batch normalisation refuses a batch of one 1 x 1 image in train mode; buffers must not move
    training = {m: m.training for m in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, state in training.items():
            module.training = state


def _dtype(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters()), torch.get_default_dtype())
