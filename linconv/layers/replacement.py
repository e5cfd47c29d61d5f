"""What every layer that takes the place of an `nn.Conv2d` has in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.layers.geometry import conv2d_output_size, geometry

Device = torch.device | str | int | None
Form = Literal["weight", "feature", "folded"]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class RefusedError(ValueError):
    """A convolution that a method cannot take the place of; the message says why. `convert` leaves it plain."""


class Macs(NamedTuple):
    """Multiply-accumulates of a layer: `per_image`, and `per_step`, spent once whatever the batch."""

    per_image: int
    per_step: int = 0


class Stage(NamedTuple):
    """One linear map of a layer as it runs: its multiply-accumulates for one image.

    `reads_input` tells whether it acts on the layer's input, or on what an earlier stage made of it: the gradient of
    the one is needed where something before the layer learns, that of the other always.
    """

    macs: int
    reads_input: bool = False


class ConvReplacement(nn.Module):
    """A layer with the arguments, the input and the output shapes of `nn.Conv2d`, and other parameters.

    A method subclasses it and writes `__init__` (the arguments of `nn.Conv2d` up to `dtype`, then its own options by
    keyword, each with a default), `reset_parameters`, `forward` and `stages`; where the layer equals one plain
    convolution also `weight`, its filters, from which folding follows; where that is linear in one of its parameters,
    `scaled` names it. Where the products of heights and widths do not decide the work it writes `stages_at` in place of
    `stages`. Convolutions it cannot replace are refused with `RefusedError`, wrong options with ValueError.

    Attributes:
        folds: whether the layer equals one plain convolution, with `weight` and `bias`, at inference.
        inits: the values of the option `init`, the default one first; empty for a method without the option.
        fits: those that `from_conv2d` alone understands: they start from the filters of a given convolution.
        scaled: a parameter in which `weight` is linear; from_conv2d scales it so that a new layer's filters have the
            standard deviation of the filters they replace. None draws as the method's source says.
    """

    folds: ClassVar[bool] = True
    inits: ClassVar[tuple[str, ...]] = ()
    fits: ClassVar[tuple[str, ...]] = ()
    scaled: ClassVar[str | None] = None
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
    ) -> None:
        super().__init__()
        # nn.Conv2d checks and normalises the geometry; on the meta device it costs neither memory nor random numbers
        plain = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, False, padding_mode, "meta"
        )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = plain.kernel_size, plain.stride, plain.padding
        self.dilation, self.groups, self.padding_mode = plain.dilation, groups, padding_mode
        self._reversed_padding_repeated_twice = list(plain._reversed_padding_repeated_twice)
        self._filter_shape = tuple(plain.weight.shape[1:])  # (c/g, kh, kw)
        if bias:
            self.bias = nn.Parameter(torch.empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)

    def reset_parameters(self) -> None:
        """Draw new parameters."""
        raise NotImplementedError(f"{type(self).__name__} lacks reset_parameters")

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        """The linear maps of one forward pass, in order, for that many positions of the output and of the input."""
        raise NotImplementedError(f"{type(self).__name__} lacks stages")

    def stages_at(self, output_size: tuple[int, ...], input_size: tuple[int, ...]) -> tuple[Stage, ...]:
        """The same for a height and width of the output and of the input."""
        return self.stages(math.prod(output_size), math.prod(input_size))

    @property
    def macs_per_step(self) -> int:
        """Multiply-accumulates that go into the filters, once a step whatever the batch."""
        return 0

    @property
    def weight(self) -> Tensor:
        """The filters of the plain convolution that the layer equals, (N, c/g, kh, kw), differentiable.

        Raises:
            TypeError: there is no such convolution.
        """
        raise TypeError(f"{type(self).__name__} equals no plain convolution and has no weight")

    @property
    def basis(self) -> Tensor | None:
        """The k x k filters that the layer learns, (P, c', kh, kw), on which regularisers of primaries act; or None."""
        return None

    @property
    def filter_size(self) -> int:
        """D = c/g * kh * kw, the numbers in one filter of the convolution that is replaced."""
        return math.prod(self._filter_shape)

    @property
    def params_expected(self) -> int:
        """The number of parameters once trained."""
        return sum(p.numel() for p in self.parameters())

    def output_size(self, input_size: tuple[int, int] | torch.Size) -> tuple[int, int]:
        """Height and width of the output for an input of that height and width."""
        return conv2d_output_size(self, input_size)

    def macs(self, form: Form, pixels: int, input_pixels: int | None = None) -> Macs:
        """Multiply-accumulates of one forward pass, for `pixels` positions of the output and so many of the input.

        "folded" is the plain convolution it equals; a form that the layer does not have counts as it runs.
        """
        if form == "folded" and self.folds:
            return Macs(self.out_channels * self.filter_size * pixels)
        return Macs(sum(stage.macs for stage in self.stages(pixels, input_pixels or pixels)), self.macs_per_step)

    def macs_at(self, form: Form, output_size: tuple[int, ...], input_size: tuple[int, ...]) -> Macs:
        """`macs` for a height and width of the output and of the input, exact for every method."""
        if form == "folded" and self.folds:
            return Macs(self.out_channels * self.filter_size * math.prod(output_size))
        return Macs(sum(stage.macs for stage in self.stages_at(output_size, input_size)), self.macs_per_step)

    @torch.no_grad()
    def to_conv2d(self) -> nn.Conv2d:
        """The plain convolution with the same output: the filters written out, the bias as it is.

        Raises:
            TypeError: the layer equals no plain convolution.
        """
        if not self.folds:
            raise TypeError(f"{type(self).__name__} equals no plain convolution and cannot be folded")
        learns = any(p.requires_grad for name, p in self.named_parameters() if name != "bias")
        conv = nn.Conv2d(**geometry(self), bias=self.bias is not None, device="meta")
        conv.weight = nn.Parameter(self.weight.detach().clone(), learns)
        if self.bias is not None:
            conv.bias = nn.Parameter(self.bias.detach().clone(), self.bias.requires_grad)
        return conv.train(self.training)

    @classmethod
    def from_conv2d(cls, conv: nn.Conv2d, **options: Any) -> Self:
        """The layer of the same shape, on the same device, in place of `conv`, frozen where it is.

        Without an `init` of `fits`, new filters are drawn with the standard deviation of `conv`'s own.

        Raises:
            RefusedError: the method cannot replace this convolution.
            ValueError: an option out of its range.
        """
        init = options.get("init")
        fit = init if init in cls.fits else None
        layer = cls(
            **geometry(conv),
            bias=conv.bias is not None,
            device=conv.weight.device,
            dtype=conv.weight.dtype,
            **(options | ({"init": cls.inits[0]} if cls.inits else {}) if fit else options),
        )
        if conv.weight.device.type != "meta":  # where there are no numbers, there are none to start from
            layer._fit_(conv, fit) if fit else layer._match_(conv)
        if not conv.weight.requires_grad:
            for name, parameter in layer.named_parameters():
                if name != "bias":
                    parameter.requires_grad_(False)
        if layer.bias is not None and conv.bias is not None:
            layer.bias.requires_grad_(conv.bias.requires_grad)
        return layer.train(conv.training)

    def _fit_(self, conv: nn.Conv2d, init: str) -> None:
        """Start from the filters of a given convolution, as the value of `init` (one of `fits`) says."""
        raise NotImplementedError(f"{type(self).__name__} lacks _fit_")

    @torch.no_grad()
    def _match_(self, conv: nn.Conv2d) -> None:
        if self.scaled is None:
            return
        drawn, wanted = float(self.weight.std()), float(conv.weight.std())
        if drawn > 0 and math.isfinite(wanted):
            self.get_parameter(self.scaled).mul_(wanted / drawn)

    def _reset_bias(self) -> None:
        """U(-1/sqrt(D), 1/sqrt(D)), as `nn.Conv2d` draws its own."""
        if self.bias is not None:
            bound = 1 / math.sqrt(self.filter_size)
            nn.init.uniform_(self.bias, -bound, bound)

    def _conv(self, input: Tensor, weight: Tensor, bias: Tensor | None = None, *, groups: int | None = None) -> Tensor:
        """The convolution of this layer's stride, padding and dilation with some filters of its kernel size."""
        groups = self.groups if groups is None else groups
        if self.padding_mode == "zeros":
            return F.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, groups)
        input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        return F.conv2d(input, weight, bias, self.stride, 0, self.dilation, groups)

    @classmethod
    def _refuse_groups(cls, groups: int) -> None:
        if groups > 1:
            raise RefusedError(f"{cls.__name__} replaces convolutions with groups=1 only, not groups={groups}")

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        defaults = {"padding": (0, 0), "dilation": (1, 1), "groups": 1, "padding_mode": "zeros"}
        parts += [f"{k}={getattr(self, k)!r}" for k, v in defaults.items() if getattr(self, k) != v]
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


def check_number(name: str, value: Any, wanted: str, holds: Callable[[float], bool]) -> None:
    """Raise ValueError, with the option's name and what it may be, unless a number is given for which that holds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not holds(value):
        raise ValueError(f"{name} must be a number {wanted}, not {value!r}")


def check_rank(name: str, value: Any) -> None:
    """The same for a rank: an int of at least 1, or a float in (0, 1] for a share."""
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    if not (sound and (0 < value <= 1 if isinstance(value, float) else value >= 1)):
        raise ValueError(f"{name} must be an int of at least 1 or a float in (0, 1], not {value!r}")


def pointwise(features: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """A matrix (M, K) applied to the channels of (n, K, h, w) or (K, h, w), plus a bias (M)."""
    return F.conv2d(features, matrix[:, :, None, None], bias)
