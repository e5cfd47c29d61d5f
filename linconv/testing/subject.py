"""The layers that the conformance kit looks at: one method with its options, over a grid of convolutions."""

from __future__ import annotations

import copy
import functools
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from linconv.config import VARIANTS, Variant
from linconv.config.methods import known_methods
from linconv.config.names import check_known
from linconv.layers import ConvReplacement, UnsupportedConvError, method_class

SIZE = (27, 25)  # of the feature maps: odd, and large enough for padding that reflects at half resolution
BATCH = 2
SAMPLED = 40  # convolutions that differ from a plain 3x3 one in several arguments at once
CHANNELS = 6, 10
SCALES = (1, 4, 16)  # multiples of the channels, for options that need wide layers
AXES: dict[str, tuple[Any, ...]] = {
    "kernel_size": (3, 1, 2, 5, (3, 2), (1, 3)),
    "stride": (1, 2, (1, 3)),
    "padding": ("half", 0, (1, 2), "same", "valid"),
    "dilation": (1, 2, (2, 1)),
    "groups": (1, 2, "depthwise"),
    "bias": (True, False),
    "padding_mode": ("zeros", "reflect", "replicate", "circular"),
    "widths": (CHANNELS, (5, 7), (9, 4)),
}


Layer = TypeVar("Layer", bound=nn.Module)


class Case(NamedTuple):
    """The arguments of one convolution, `nn.Conv2d(**arguments)`, and a name for messages."""

    name: str
    arguments: dict[str, Any]

    def plain(self, **more: Any) -> nn.Conv2d:
        """The plain convolution, in double precision unless said otherwise."""
        return nn.Conv2d(**self.arguments | {"dtype": torch.float64} | more)

    def images(self, **more: Any) -> Tensor:
        """A batch of inputs, (n, c, h, w), in double precision unless said otherwise."""
        return torch.randn(BATCH, self.arguments["in_channels"], *SIZE, **{"dtype": torch.float64} | more)


@dataclass(frozen=True)
class Subject:
    """A method with its options.

    Attributes:
        name: for messages.
        cls: the class of the method.
        options: keyword arguments of every layer that is made.
    """

    name: str
    cls: type[ConvReplacement]
    options: Mapping[str, Any]

    def layer(self, case: Case | None = None, **more: Any) -> ConvReplacement:
        """A new layer in double precision, unless said otherwise, in evaluation mode; by default in the first case."""
        arguments = (case or self.first).arguments | {"dtype": torch.float64} | dict(self.options) | more
        return self.cls(**arguments).eval()

    @functools.cached_property
    def first(self) -> Case:
        """The usual convolution that the method can replace.

        Raises:
            UnsupportedConvError: the method replaces none of those tried.
        """
        refused: UnsupportedConvError | None = None
        for scale, side in itertools.product(SCALES, (3, 1, 5, 7, 2)):
            case = _case({"kernel_size": side}, scale)
            try:
                self.layer(case, device="meta")
            except UnsupportedConvError as error:
                refused = refused or error
            else:
                return case
        assert refused is not None
        raise refused

    @functools.cached_property
    def _sorted(self) -> tuple[list[Case], dict[str, str]]:
        scale = self.first.arguments["in_channels"] // CHANNELS[0]
        accepted, refused = [self.first], {}
        for case in _grid(scale, self.first.arguments["kernel_size"]):
            try:
                self.layer(case, device="meta")
            except UnsupportedConvError as error:
                refused[case.name] = str(error)
            except Exception as error:
                raise AssertionError(f"{case.name}: {type(error).__name__} in place of UnsupportedConvError") from error
            else:
                accepted.append(case)
        return accepted, refused

    @property
    def cases(self) -> list[Case]:
        """The convolutions of the grid that the method replaces."""
        return self._sorted[0]

    @property
    def refused(self) -> dict[str, str]:
        """The convolutions of the grid that the method refuses, and why."""
        return self._sorted[1]


def subject_of(method: type[ConvReplacement] | Variant | str, **options: Any) -> Subject:
    """The subject that a class, a variant, or the name of a method or a variant means.

    Raises:
        ValueError: an unknown name, or the plain convolution.
    """
    if isinstance(method, str):
        check_known([method], [*known_methods(), *VARIANTS], "method or variant")
        method = method_class(method) if method in known_methods() else VARIANTS[method]
    if isinstance(method, Variant):
        if method.layer == "conv":
            raise ValueError("the plain convolution is no method")
        options = method.layer_options | options
        method = method_class(method.layer)
    shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
    options.pop("mode", None)  # every form is checked
    if options.get("init") in method.fits:  # checked for every method that has some
        del options["init"]
    return Subject(f"{method.__name__}({shown})", method, options)


def shaken(layer: Layer) -> Layer:
    """The layer with parameters, statistics and masks moved from where they start, where faults may cancel."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * parameter.abs().mean().clamp(min=0.1) * torch.randn_like(parameter))
        for name, buffer in layer.named_buffers():
            if buffer.dtype == torch.bool:
                buffer.bernoulli_(0.5)
            elif name.endswith("running_mean"):
                buffer.normal_()
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return layer


def in_every_form(layer: ConvReplacement) -> Iterator[str]:
    """Sets the layer to each of its forms in turn, "auto" last, and gives the name of the form."""
    if len(layer.forms) == 1:
        yield layer.forms[0]
        return
    for form in (*layer.forms, "auto"):
        layer.mode = form
        yield form


def folded_by_hand(layer: ConvReplacement, case: Case) -> Callable[[Tensor], Tensor]:
    """The plain convolution of the case with the layer's `weight` and bias, which carries gradients to both.

    Where the layer equals a convolution with a larger kernel, its own kernel size, padding and dilation are taken; what
    else the case says is not.
    """
    bias = {} if layer.bias is None else {"bias": layer.bias}
    weight = layer.weight
    given = case.plain(device="meta")
    more: dict[str, Any] = {"device": "meta"}
    if weight.shape[2:] != given.kernel_size:
        more |= {"kernel_size": layer.kernel_size, "padding": layer.padding, "dilation": layer.dilation}
    plain = case.plain(**more)
    assert weight.shape == plain.weight.shape, f"weight is {tuple(weight.shape)}, not {tuple(plain.weight.shape)}"
    return lambda x: torch.func.functional_call(plain, {"weight": weight, **bias}, (x,))


def tensors(layer: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer of the layer, by name."""
    return {**dict(layer.named_parameters()), **dict(layer.named_buffers())}


def trained(layer: Layer) -> Layer:
    """A copy of the layer in training mode, whose statistics may move."""
    return copy.deepcopy(layer).train()


def _grid(scale: int, kernel_size: Any) -> Iterator[Case]:
    """Each value of each axis by itself, then a sample of combinations."""
    for axis, values in AXES.items():
        for value in values[1:]:
            yield from _valid({"kernel_size": kernel_size, axis: value}, scale)
    combinations = list(itertools.product(*AXES.values()))
    sampled = random.Random(0)
    for values in sampled.sample(combinations, SAMPLED):
        yield from _valid(dict(zip(AXES, values, strict=True)), scale)


def _valid(changed: dict[str, Any], scale: int) -> Iterator[Case]:
    try:
        case = _case(changed, scale)
        case.plain(device="meta")
    except ValueError:  # nn.Conv2d itself refuses it
        return
    yield case


def _case(changed: dict[str, Any], scale: int) -> Case:
    values = {axis: choices[0] for axis, choices in AXES.items()} | changed
    channels, filters = (width * scale for width in values.pop("widths"))
    if values["groups"] == "depthwise":
        values["groups"], filters = channels, 2 * channels
    elif values["groups"] == 2:
        channels, filters = 2 * math.ceil(channels / 2), 2 * math.ceil(filters / 2)
    if values["padding"] == "half":
        sides = zip(_pair(values["kernel_size"]), _pair(values["dilation"]), strict=True)
        values["padding"] = tuple(d * (k - 1) // 2 for k, d in sides)
    shown = ", ".join(f"{name}={values[name]!r}" for name in changed if name in values)
    return Case(f"Conv2d({channels}, {filters}, {shown})", {"in_channels": channels, "out_channels": filters, **values})


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)
