"""Where a convolution stands in its network: what a method may want to know before it takes that place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from linconv.layers.copies import copied_to_meta

log = logging.getLogger("linconv")
SIZES = (32, 224)  # of the images that are tried
RELUS = {F.relu, F.relu_, F.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
# after which a channel is still by itself, so that a ReLU may come next
PASSED = {F.batch_norm, torch.batch_norm, F.group_norm, F.instance_norm, F.dropout, F.dropout2d}
PASSED |= {F.max_pool2d, torch.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d}


class Place(NamedTuple):
    """What surrounds a convolution.

    Attributes:
        relu_follows: whether its output reaches a ReLU, through normalization, pooling and dropout alone, before it is
            added to something or used twice. None where nothing is known.
    """

    relu_follows: bool | None = None


def places_of(model: nn.Module) -> dict[nn.Module, Place]:
    """The place of every convolution in a model of images.

    A copy without values runs once, on the meta device and without a random number. Empty where that fails, with a line
    in the log, and for a convolution by itself. A convolution that is called several times is followed by a ReLU where
    all calls are.
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if not convolutions or isinstance(model, nn.Conv2d):
        return {}
    reason: Exception | None = None
    for size in SIZES:
        try:
            return _watched(model, (1, convolutions[0].in_channels, size, size))
        except Exception as error:  # whatever a network of another's making does with such an image
            reason = reason or error
    log.info("the network cannot be run without values, so what follows its convolutions is unknown: %s", reason)
    return {}


def _watched(model: nn.Module, shape: tuple[int, ...]) -> dict[nn.Module, Place]:
    watched = copied_to_meta(model).eval()
    convolutions = {
        id(twin.weight): original
        for original, twin in zip(model.modules(), watched.modules(), strict=True)
        if isinstance(original, nn.Conv2d)
    }
    with torch.no_grad(), _Watch() as watch:
        watched(torch.empty(shape, device="meta"))
    return {convolutions[weight]: Place(follows) for weight, follows in watch.found() if weight in convolutions}


class _Watch(TorchFunctionMode):
    """Follows the output of every convolution to what uses it. A mode holds for its own thread alone."""

    def __init__(self) -> None:
        super().__init__()
        self._carried: dict[int, tuple[Tensor, set[int]]] = {}  # by tensor: itself and the filters that made it
        self._used: set[int] = set()
        self._outcomes: dict[int, list[bool]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if not isinstance(output, Tensor):  # a size or a dtype is no use of the values
            return output
        relu = func in RELUS or (func is F.hardtanh and 0 in (*args[1:2], kwargs.get("min_val")))  # ReLU6
        carried: set[int] = set()
        for tensor in _tensors((*args, *kwargs.values())):
            carried |= self._use(tensor, output, relu=relu, passes=func in PASSED)
        if func is F.conv2d:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            carried = {id(weight)}
            self._outcomes.setdefault(id(weight), [])
        if carried:
            self._carried[id(output)] = output, carried
            self._used.discard(id(output))
        return output

    def _use(self, tensor: Tensor, output: Tensor, *, relu: bool, passes: bool) -> set[int]:
        """Note a use of a tensor; the filters whose output goes on in that of the function."""
        if id(tensor) not in self._carried:
            return set()
        _, filters = self._carried[id(tensor)]
        self._used.add(id(tensor))
        if output is tensor:
            del self._carried[id(tensor)]  # in place: what comes next uses the new values
        if passes:
            return filters
        for weight in filters:
            self._outcomes[weight].append(relu)
        return set()

    def found(self) -> Iterator[tuple[int, bool]]:
        """By filters: whether every use is a ReLU. What nothing used is an output of the network."""
        ends = {w for at, (_, filters) in self._carried.items() if at not in self._used for w in filters}
        for weight, outcomes in self._outcomes.items():
            yield weight, weight not in ends and bool(outcomes) and all(outcomes)


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
