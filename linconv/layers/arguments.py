"""The arguments of `nn.Conv2d`, which every replacement of a convolution takes first, then its own options."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.layers.geometry import conv2d_output_size, geometry, in_layout_of
from linconv.layers.options import check_init, check_options, option_parameters

Device = torch.device | str | int | None
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class UnsupportedConvError(ValueError):
    """Raised when a method cannot replace a convolution; the message says why. `convert` leaves it plain."""


class Factory(NamedTuple):
    """Makes the parameters of a layer on the device and of the dtype that were asked for."""

    device: Device = None
    dtype: torch.dtype | None = None

    def parameter(self, *shape: int) -> nn.Parameter:
        """A parameter without values; `reset_parameters` draws them."""
        return nn.Parameter(self.empty(*shape))

    def empty(self, *shape: int) -> Tensor:
        """A tensor without values, for a buffer."""
        return torch.empty(shape, device=self.device, dtype=self.dtype)


class Conv2dArguments(nn.Module):
    """A layer that is built like `nn.Conv2d`: the same arguments first, the same geometry, the same bias.

    Attributes:
        inits: the values of the option `init`, the default first; empty for a method without the option.
        fits: the values of `init` that need a given convolution and start from its filters.
        filter_shape: (c/g, kh, kw), the shape of one filter of the convolution that is replaced.
        pad_widths: pixels that padding adds on the left, right, top and bottom.
    """

    inits: ClassVar[tuple[str, ...]] = ()
    fits: ClassVar[tuple[str, ...]] = ()
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: str | tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    padding_mode: str
    transposed: ClassVar[bool] = False
    output_padding: ClassVar[tuple[int, int]] = (0, 0)
    filter_shape: tuple[int, ...]
    pad_widths: list[int]
    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Device = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        cls = type(self)
        if dtype is not None and not dtype.is_floating_point:
            raise UnsupportedConvError(f"{cls.__name__} has real filters of floating point, not {dtype}")
        if cls.inits:
            check_init(options.get("init", cls.inits[0]), cls.inits, cls.fits)
        check_options(cls.__name__, cls.build, options)
        self.set_geometry(
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            padding_mode=padding_mode,
        )
        sizes = {"in_channels": in_channels, "out_channels": out_channels, "kernel_size": min(self.kernel_size)}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, not {size}")
        factory = Factory(device, dtype)
        if bias:
            self.bias = factory.parameter(out_channels)
        else:
            self.register_parameter("bias", None)
        self.build(factory, **options)
        self.reset_parameters()
        self._own_attributes = (*vars(self), "_own_attributes")  # what others write comes later

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Give a method the signature of `nn.Conv2d`, then its own options."""
        super().__init_subclass__(**arguments)
        if "forward" in cls.__dict__:
            cls.forward = leaf_of_a_trace(cls.forward)
        options = option_parameters(cls.build)
        if "__init__" in cls.__dict__:
            return

        @functools.wraps(Conv2dArguments.__init__)
        def init(self: Conv2dArguments, *arguments: Any, **more: Any) -> None:
            super(cls, self).__init__(*arguments, **more)

        shared = inspect.signature(Conv2dArguments.__init__)
        first = [p for p in shared.parameters.values() if p.kind is not p.VAR_KEYWORD]
        init.__signature__ = shared.replace(parameters=[*first, *options])  # type: ignore[attr-defined]
        cls.__init__ = init  # type: ignore[method-assign]

    def set_geometry(self, **shape: Any) -> None:
        """Take the arguments of `nn.Conv2d` that say its shape, checked and normalized as `nn.Conv2d` does."""
        # on the meta device a convolution costs neither memory nor random numbers
        plain = nn.Conv2d(**shape, bias=False, device="meta")
        for name, value in geometry(plain).items():
            setattr(self, name, value)
        self.pad_widths = list(plain._reversed_padding_repeated_twice)
        self.filter_shape = tuple(plain.weight.shape[1:])

    def build(self, factory: Factory) -> None:
        """Make the parameters of the method; the geometry and the bias are there already.

        A method adds its options as keyword-only arguments, each with a default and a type that says what is allowed
        (`linconv.config.rules`).

        Raises:
            UnsupportedConvError: the method cannot replace such a convolution.
            ValueError: options that do not fit each other.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks build")

    def reset_parameters(self) -> None:
        """Draw new parameters."""
        raise NotImplementedError(f"{type(self).__name__} lacks reset_parameters")

    @property
    def filter_size(self) -> int:
        """D = c/g * kh * kw, the values in one filter of the convolution that is replaced."""
        return math.prod(self.filter_shape)

    def output_size(self, input_size: tuple[int, int] | torch.Size) -> tuple[int, int]:
        """Height and width of the output for an input of that height and width."""
        return conv2d_output_size(self, input_size)

    def convolve(
        self, input: Tensor, weight: Tensor, bias: Tensor | None = None, *, groups: int | None = None
    ) -> Tensor:
        """The convolution of this layer's stride, padding and dilation with some filters of its kernel size."""
        groups = self.groups if groups is None else groups
        if self.padding_mode == "zeros":
            return F.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, groups)
        input = in_layout_of(input, F.pad(input, self.pad_widths, mode=self.padding_mode))  # circular padding loses it
        return F.conv2d(input, weight, bias, self.stride, 0, self.dilation, groups)

    def reset_bias(self) -> None:
        """Draw the bias from U(-1/sqrt(D), 1/sqrt(D)), as `nn.Conv2d` does."""
        if self.bias is not None:
            bound = 1 / math.sqrt(self.filter_size)
            nn.init.uniform_(self.bias, -bound, bound)

    def refuse_groups(self) -> None:
        """Raise UnsupportedConvError for a grouped convolution."""
        if self.groups > 1:
            raise UnsupportedConvError(
                f"{type(self).__name__} replaces convolutions with groups=1 only, not groups={self.groups}"
            )

    def refuse_pointwise(self, reason: str) -> None:
        """Raise UnsupportedConvError for a 1x1 kernel."""
        if self.kernel_size == (1, 1):
            raise UnsupportedConvError(f"{type(self).__name__} replaces no 1x1 convolution: {reason}")

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        defaults = {"padding": (0, 0), "dilation": (1, 1), "groups": 1, "padding_mode": "zeros"}
        parts += [f"{k}={getattr(self, k)!r}" for k, v in defaults.items() if getattr(self, k) != v]
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


def leaf_of_a_trace(forward: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """A forward that stays one node of a graph of `torch.fx`: what it does depends on sizes that a graph does not know.

    A layer that is the whole model to trace is traced into, as far as its forward allows.
    """

    @functools.wraps(forward)
    def call(self: nn.Module, input: Tensor) -> Tensor:
        if isinstance(input, torch.fx.Proxy) and input.tracer.root is not self:
            return input.tracer.create_proxy("call_module", input.tracer.path_of_module(self), (input,), {})
        return forward(self, input)

    return call


def pointwise(features: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """A matrix (M, K) applied to the channels of (n, K, h, w) or (K, h, w), plus a bias (M)."""
    return F.conv2d(features, matrix[:, :, None, None], bias)
