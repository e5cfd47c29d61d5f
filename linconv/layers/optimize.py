"""Choosing each layer's form for inference by the clock of the user's own machine."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from linconv.layers.conversion import replace_modules
from linconv.layers.geometry import in_channels_last
from linconv.layers.replacement import ConvReplacement

ROUNDS = 7
BLOCK_SECONDS = 0.01


def optimize(model: nn.Module, sample_input: Tensor) -> nn.Module:
    """A copy of the model for inference whose replaced convolutions each run in their fastest exact form.

    Each layer is timed alone on the input that it gets from `sample_input`, in interleaved rounds: folded into a plain
    convolution, and in feature space. The faster form is kept; outputs stay equal up to rounding. A layer that does
    not fold stays as it is; a layer without a form in feature space is folded untimed. What is fastest depends on the
    device, the batch, the dtype, the memory layout and the number of threads, so optimize under the conditions in
    which the model will run. The copy shares no tensor with `model` and does not train.

    Args:
        model: any model; it is left as it is. Layers that `sample_input` does not reach are folded.
        sample_input: (n, c, h, w), a batch of the size, dtype and layout to come, on the model's device.

    Raises:
        TypeError: `sample_input` is no tensor.
    """
    if not isinstance(sample_input, Tensor):
        raise TypeError(f"sample_input must be a tensor, not {type(sample_input).__name__}")
    model = copy.deepcopy(model).eval()
    inputs = _inputs(model, sample_input)
    chosen: dict[nn.Module, nn.Module] = {}
    for layer in model.modules():
        if isinstance(layer, ConvReplacement) and layer.folds:
            chosen[layer] = _fastest(layer, inputs.get(layer))
    return replace_modules(model, chosen).requires_grad_(False)


@torch.inference_mode()
def _inputs(model: nn.Module, sample_input: Tensor) -> dict[nn.Module, Tensor]:
    """The input of every layer that one pass reaches, of its first call."""
    inputs: dict[nn.Module, Tensor] = {}

    def remember(layer: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        inputs.setdefault(layer, next(iter((*arguments, *named.values()))).clone())

    layers = [m for m in model.modules() if isinstance(m, ConvReplacement)]
    hooks = [layer.register_forward_pre_hook(remember, with_kwargs=True) for layer in layers]
    try:
        model(sample_input)
    finally:
        for hook in hooks:
            hook.remove()
    return inputs


@torch.inference_mode()
def _fastest(layer: ConvReplacement, x: Tensor | None) -> nn.Module:
    folded = layer.to_conv2d()
    if x is not None and in_channels_last(x):
        folded = folded.to(memory_format=torch.channels_last)
    if x is None or "feature" not in layer.forms:
        return folded
    layer.mode = "feature"
    candidates: list[nn.Module] = [folded, layer]
    seconds: list[list[float]] = [[] for _ in candidates]
    calls = [_calls(candidate, x) for candidate in candidates]
    for _ in range(ROUNDS):
        for i, candidate in enumerate(candidates):
            seconds[i].append(_seconds(candidate, x, calls[i]))
    ratio = statistics.median(f / p for p, f in zip(*seconds, strict=True))
    return layer if ratio < 1 else folded


def _calls(call: Callable[[Tensor], Tensor], x: Tensor) -> int:
    _seconds(call, x, 1)
    return max(1, int(BLOCK_SECONDS / max(1e-9, _seconds(call, x, 1))))


def _seconds(call: Callable[[Tensor], Tensor], x: Tensor, calls: int) -> float:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    start = time.perf_counter()
    for _ in range(calls):
        call(x)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return (time.perf_counter() - start) / calls
