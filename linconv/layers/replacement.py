"""What every layer that takes the place of an `nn.Conv2d` has in common."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from linconv.layers.arguments import Conv2dArguments, UnsupportedConvError
from linconv.layers.costs import Macs, Stage, forward_macs, training_macs
from linconv.layers.forms import Form
from linconv.layers.geometry import asks_for_channels_last, contradiction, geometry
from linconv.layers.places import Place
from linconv.layers.replacing import carry_attributes

PLAIN_ATTRIBUTES = vars(nn.Conv2d(1, 1, 1, device="meta")).keys()
SOURCE = "source"  # as `init`: parameters drawn as the source draws them, filters of whatever scale that gives


class NoWeightError(AttributeError):
    """Raised by `weight` where a layer equals no plain convolution, so that `hasattr(layer, "weight")` is False."""


class ParameterRule(NamedTuple):
    """How a parameter is trained where it differs from the others.

    Attributes:
        rate: its learning rate as a multiple of the recipe's.
        decays: whether the recipe's weight decay acts on it.
    """

    rate: float = 1.0
    decays: bool = True


class ConvReplacement(Conv2dArguments):
    """A layer with the arguments of `nn.Conv2d`, the same shapes of input and output, and other parameters.

    A method is a subclass. It writes `build`, which makes the parameters and whose keyword-only arguments are the
    method's options, and `reset_parameters`. A method whose layer equals one plain convolution writes `weight`; then
    `forward`, `stages`, folding and conversion follow. A method that runs another way writes `forward`, `stages` and
    `forms`. The signature of a method is the signature of `nn.Conv2d`, then the options.

    Attributes:
        folds: whether the layer equals one plain convolution, with `weight` and `bias`, at inference.
        forms: the exact forms in which the layer can run: "weight", one convolution with `weight`, or "feature", the
            method's own linear maps of the features. Most layers have one. "folded" is what `to_conv2d` gives.
        mode: the form to run, of `forms`, or "auto"; it decides something only where there are several.
        scaled: parameters in which `weight` is linear together; `from_conv2d` scales them so that a new layer's
            filters have the standard deviation of the filters that they replace. Empty leaves them as drawn.

    Raises:
        UnsupportedConvError: the method cannot replace such a convolution.
        ValueError: an option out of its range, or whatever `nn.Conv2d` refuses.
        TypeError: an option that the method does not have.
    """

    folds: ClassVar[bool] = True
    scaled: ClassVar[tuple[str, ...]] = ()
    forms: tuple[Form, ...] = ("weight",)
    mode: str = "auto"

    def forward(self, input: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, N, h', w'), or without n."""
        return self.convolve(input, self.weight, self.bias)

    @property
    def weight(self) -> Tensor:
        """The filters of the plain convolution that the layer equals, (N, c/g, kh, kw), differentiable.

        Raises:
            NoWeightError: there is no such convolution.
        """
        raise NoWeightError(f"{type(self).__name__} equals no plain convolution and has no weight")

    @property
    def basis(self) -> Tensor | None:
        """The k x k filters that the layer learns, (P, c', kh, kw), on which regularizers of primaries act; or None."""
        return None

    @property
    def params_expected(self) -> int:
        """The number of parameters once trained."""
        return sum(p.numel() for p in self.parameters())

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """As of every module, but for `weight`, which is made of other parameters.

        Raises:
            AttributeError: `weight` is set, as torch's fusing of batch norm does.
        """
        if name == "weight":
            raise AttributeError(
                f"the weight of {type(self).__name__} is made of other parameters and cannot be set: "
                "fold the model first (linconv.fold), or use from_conv2d"
            )
        super().register_parameter(name, param)

    # How the layer is trained.

    @property
    def parameter_rules(self) -> Mapping[str, ParameterRule]:
        """The parameters of this layer, by name, that have a learning rate or a weight decay of their own."""
        return {}

    def project_(self) -> None:
        """Bring parameters back to the values they may have, in place; the training calls it after every step."""

    # What the layer costs.

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        """The linear maps of one forward pass, in order, for that many pixels of the output and of the input."""
        return (Stage(self.out_channels * self.filter_size * pixels, reads_input=True),)

    def stages_at(self, output_size: tuple[int, ...], input_size: tuple[int, ...]) -> tuple[Stage, ...]:
        """The linear maps for a height and width of the output and of the input; for a method that needs both."""
        return self.stages(math.prod(output_size), math.prod(input_size))

    @property
    def macs_per_step(self) -> int:
        """Multiply-accumulates that make the filters, once a step whatever the batch."""
        return 0

    def macs_at(self, form: Form, output_size: tuple[int, ...], input_size: tuple[int, ...]) -> Macs:
        """MACs of a forward pass in a form, for a height and width of the output and of the input.

        "folded" is the plain convolution that the layer equals. A form that the layer does not have counts as it runs.
        """
        if form == "folded" and self.folds:
            return Macs(self.out_channels * self.filter_size * math.prod(output_size))
        return forward_macs(self.stages_at(output_size, input_size), self.macs_per_step)

    def training_macs_at(
        self, form: Form, output_size: tuple[int, ...], input_size: tuple[int, ...], input_needs_grad: bool
    ) -> Macs:
        """MACs of a training step, forward and backward, in a form; `input_needs_grad`: something before it learns."""
        if form == "folded" and self.folds:
            learns = any(p.requires_grad for name, p in self.named_parameters() if name != "bias")
            return Macs((1 + learns + input_needs_grad) * self.macs_at(form, output_size, input_size).per_image)
        return training_macs(self.stages_at(output_size, input_size), self.macs_per_step, input_needs_grad)

    @property
    def paper_flops_of_filters(self) -> int | None:
        """What the rule behind the FLOP column of the paper's Table 1 charges for making the filters.

        None: the rule does not know the layer.
        """
        return None

    # Which form runs.

    def form_for(self, input: Tensor) -> Form:
        """The form that `forward` runs for this input."""
        return self.forms[0]

    def cheapest_form(self, pixels: int | None) -> Form:
        """The form estimated to take less time for that many output pixels in the batch (None: very many)."""
        return self.forms[0]

    def resolve_form(self, asked: str, pixels: int | None) -> Form:
        """The form that runs where one of `forms`, "folded" or "auto" is asked for, which the layer may not have."""
        if asked == "folded" and self.folds:
            return "folded"
        return asked if asked in self.forms else self.cheapest_form(pixels)

    # From a plain convolution, and back.

    @classmethod
    def options_at(cls, place: Place, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options that a layer gets at a place of a network, where the configuration leaves that to the place."""
        return options

    @torch.no_grad()
    def to_conv2d(self) -> nn.Conv2d:
        """The plain convolution with the same output: the filters written out, the bias as it is.

        Device, dtype, memory layout, train/eval state and whether parameters are frozen carry over.

        Raises:
            TypeError: the layer equals no plain convolution.
        """
        if not self.folds:
            raise TypeError(f"{type(self).__name__} equals no plain convolution and cannot be folded")
        learns = any(p.requires_grad for name, p in self.named_parameters() if name != "bias")
        layout = torch.channels_last if self._asks_for_channels_last() else torch.contiguous_format
        conv = nn.Conv2d(**geometry(self), bias=self.bias is not None, device="meta")
        conv.weight = nn.Parameter(self.weight.detach().clone(memory_format=layout), learns)
        if self.bias is not None:
            conv.bias = nn.Parameter(self.bias.detach().clone(), self.bias.requires_grad)
        carry_attributes(self, conv, {*getattr(self, "_own_attributes", vars(self)), *dir(type(self))})
        return conv.train(self.training)

    @classmethod
    def from_conv2d(cls, conv: nn.Conv2d, **options: Any) -> Self:
        """The layer of the same shape in place of `conv`.

        Device, dtype, memory layout, train/eval state and whether parameters are frozen carry over. Without an `init`
        of `fits`, new filters are drawn with the standard deviation of `conv`'s own.

        Raises:
            UnsupportedConvError: the method cannot replace this convolution, its filters contradict its arguments, or
                somebody gave it an attribute whose name the layer needs.
            TypeError: `conv` is no `nn.Conv2d`.
            ValueError: an option out of its range, or filters that are not finite and that `init` shall fit.
        """
        if not isinstance(conv, nn.Conv2d):
            raise TypeError(f"{cls.__name__} takes the place of an nn.Conv2d, not of a {type(conv).__name__}")
        if reason := contradiction(conv):
            raise UnsupportedConvError(reason)
        init = options.get("init")
        fit = init if init in cls.fits else None
        if fit and not conv.weight.is_meta and not bool(conv.weight.isfinite().all()):
            raise ValueError(f"init {init!r} cannot start from filters with values that are not finite (NaN or inf)")
        layer = cls(
            **geometry(conv),
            bias=conv.bias is not None,
            device=conv.weight.device,
            dtype=conv.weight.dtype,
            **(options | {"init": cls.inits[0]} if fit else options),
        )
        if taken := sorted((vars(conv).keys() - PLAIN_ATTRIBUTES) & {*dir(layer)}):  # others wrote them
            raise UnsupportedConvError(
                f"it has an attribute `{taken[0]}`, a name with another meaning in {cls.__name__}; rename it"
            )
        if conv.weight.device.type != "meta":  # where there are no values, there are none to start from
            with torch.no_grad():
                if fit:
                    layer.fit_(conv, fit)
                elif init != SOURCE:
                    layer.match_(conv)
        return layer.carry_over_(conv)

    def carry_over_(self, conv: nn.Conv2d) -> Self:
        """Take the memory layout of a given convolution, its train/eval state and whether its parameters are frozen."""
        if asks_for_channels_last(conv.weight):
            self.to(memory_format=torch.channels_last)
        if not conv.weight.requires_grad:
            for name, parameter in self.named_parameters():
                if name != "bias":
                    parameter.requires_grad_(False)
        if self.bias is not None and conv.bias is not None:
            self.bias.requires_grad_(conv.bias.requires_grad)
        carry_attributes(conv, self, PLAIN_ATTRIBUTES)
        return self.train(conv.training)

    @classmethod
    def share_(cls, layers: Mapping[nn.Conv2d, Self], init: str | None) -> None:
        """Let layers of one model share parameters; `convert` calls it once for all layers that it has made.

        By default nothing is shared. What is shared belongs into a module of its own, which copies, `to_empty` and
        `load_state_dict` keep shared.

        Args:
            layers: the new layers, by the convolutions that they replace; called without autograd.
            init: the option of that name, where the layers have it.
        """

    def fit_(self, conv: nn.Conv2d, init: str) -> None:
        """Start from the filters of a given convolution as `init`, one of `fits`, says; called without autograd."""
        raise NotImplementedError(f"{type(self).__name__} lacks fit_")

    def match_(self, conv: nn.Conv2d) -> None:
        """Scale new filters to the standard deviation of a given convolution's; called without autograd."""
        if self.scaled:
            self.rescale_(float(self.weight.std()), float(conv.weight.std()), *map(self.get_parameter, self.scaled))

    @staticmethod
    def rescale_(drawn: float, wanted: float, *parameters: Tensor) -> None:
        """Multiply parameters by wanted / drawn, where that is a number."""
        if drawn > 0 and math.isfinite(wanted):
            for parameter in parameters:
                parameter.mul_(wanted / drawn)

    def _asks_for_channels_last(self) -> bool:
        return any(asks_for_channels_last(parameter) for parameter in self.parameters())
