"""The time of one image in the layers of a model and in the whole of it, here and now."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from linconv.config import Variant
from linconv.layers import conversion, optimize
from linconv.layers.copies import copied
from linconv.layers.geometry import geometry, in_channels_last
from linconv.layers.images import image_of
from linconv.layers.progress import watched
from linconv.measure.timing import interleave

ROUNDS = 7
BLOCK_SECONDS = 0.01
CELL_SECONDS = 30.0


@torch.no_grad()
def layer_seconds(
    model: nn.Module, variants: Sequence[Variant], pairs: Sequence[tuple[str, int]], size: tuple[int, int, int]
) -> tuple[dict[tuple[str, int | None], float], float]:
    """Seconds of one image in every layer, as it is (None) and replaced by variants (their number), and in the model.

    A replaced layer runs in its fastest exact form. Batch normalization is folded nowhere, which favors none. Layers of
    one geometry with inputs of one size are timed once.

    Args:
        pairs: (name of a convolution, number of a variant).
    """
    plain = copied(model).eval()
    image = image_of(model, size)
    inputs = _inputs(plain, {name for name, _ in pairs}, image)
    numbers = {name: tuple(number for layer, number in pairs if layer == name) for name in inputs}
    alike: dict[object, list[str]] = {}
    for name, x in inputs.items():
        alike.setdefault((_geometry(plain.get_submodule(name), x), numbers[name]), []).append(name)
    seconds: dict[tuple[str, int | None], float] = {}
    for names in watched(alike.values(), "plan", len(alike), "kinds of layers timed"):
        first = names[0]
        taken = _arm_seconds(plain.get_submodule(first), inputs[first], {n: variants[n] for n in numbers[first]})
        seconds |= {(name, number): value for name in names for number, value in taken.items()}
    return seconds, _medians({"model": _call(plain, image)})["model"]


def _geometry(conv: nn.Module, x: Tensor) -> tuple[object, ...]:
    """What decides how long a convolution of an input takes."""
    assert isinstance(conv, nn.Conv2d)
    layouts = in_channels_last(conv.weight), in_channels_last(x)
    return (*geometry(conv).values(), conv.bias is None, conv.weight.dtype, x.shape, *layouts)


def _arm_seconds(conv: nn.Module, x: Tensor, variants: Mapping[int, Variant]) -> dict[int | None, float]:
    """Seconds of one convolution as it is (None) and replaced by variants, by their numbers."""
    arms: dict[int | None, nn.Module] = {None: conv}
    for number, variant in variants.items():  # its layer alone: what it says of a whole model does not count here
        arms[number] = optimize(conversion(copy.deepcopy(conv), variant.layer, **variant.layer_options).model, x)
    medians = _medians({str(number): _call(module, x) for number, module in arms.items()})
    return {number: medians[str(number)] for number in arms}


def ratio_to_plain(model: nn.Module, changed: nn.Module, size: tuple[int, int, int]) -> float:
    """The median over rounds of the time of one image in the optimized changed model, relative to the optimized model.

    Batch normalization is folded in both.
    """
    image = image_of(model, size)
    arms = {"plain": optimize(model, image), "changed": optimize(changed, image)}
    samples = interleave(
        {name: _call(network, image) for name, network in arms.items()},
        rounds=3 * ROUNDS,
        block_seconds=BLOCK_SECONDS,
        cell_seconds=CELL_SECONDS,
        device=image.device.type,
    )
    pairs = zip(samples["changed"].seconds, samples["plain"].seconds, strict=True)
    return statistics.median(changed / plain for changed, plain in pairs)


def _medians(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    samples = interleave(calls, rounds=ROUNDS, block_seconds=BLOCK_SECONDS, cell_seconds=CELL_SECONDS)
    return {name: statistics.median(taken.seconds) for name, taken in samples.items()}


def _call(module: nn.Module, x: Tensor) -> Callable[[], object]:
    def call() -> None:
        with torch.inference_mode():
            module(x)

    return call


def _inputs(model: nn.Module, names: set[str], image: Tensor) -> dict[str, Tensor]:
    """The input of each of these convolutions, of its first call."""
    found: dict[str, Tensor] = {}

    def remember(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            found.setdefault(name, next(iter((*arguments, *named.values()))).clone())

        return hook

    handles = [model.get_submodule(n).register_forward_pre_hook(remember(n), with_kwargs=True) for n in names]
    try:
        model(image)
    finally:
        for handle in handles:
            handle.remove()
    return found
