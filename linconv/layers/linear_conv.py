"""LinearConv: learn P of a convolution's N filters, make the other S = N - P as linear combinations of them.

Source: K. Kahatapitiya, R. Rodrigo, "Exploiting the Redundancy in Convolutional Filters for Parameter Reduction",
WACV 2021 (arXiv 1907.11432), section 3. The feature-space form is not in the paper; it is exact, see `LinearConv2d`.
"""

from __future__ import annotations

import math
from typing import Any, Self, get_args

import torch
from torch import Tensor, nn

from linconv.config.rules import Init, Mode, Rank, Share, share_of
from linconv.layers.arguments import Factory, UnsupportedConvError, pointwise
from linconv.layers.coefficients import make_coefficients
from linconv.layers.costs import Macs, Stage
from linconv.layers.forms import Form, check_mode, faster_form, is_traced, stacks
from linconv.layers.least_squares import least_squares
from linconv.layers.replacement import ConvReplacement


class LinearConv2d(ConvReplacement):
    """A drop-in for `nn.Conv2d` whose filter bank is W = [V; A V].

    V, the primary filters, are P = floor(primary_ratio * out_channels) free filters of D = c/g * kh * kw values;
    A, the coefficients, make the S = out_channels - P secondary ones. Parameters: P D + S P (full A) or
    P D + r (S + P) (A = C R of rank r), plus the bias, instead of out_channels * D. The arguments up to `dtype` and
    the shapes of input (n, c, h, w) or (c, h, w) and output are those of `nn.Conv2d`.

    Three exact ways lead to the same output:
    weight space (the paper's): build W, then one convolution: S P D extra MACs per step;
    feature space: y = V * x, then [y; A y], a 1x1 convolution: P D + S P MACs per pixel, not N D; groups = 1 only;
    folded: `to_conv2d()`, a plain convolution once training is over.

    `weight` is made anew at each access, so initializing it in place changes nothing: use `reset_parameters()` or
    `from_conv2d`. With groups > 1 the primaries fill the first groups of W, so primary and secondary filters see
    different input channels; that is the paper's scheme.

    Args:
        primary_ratio: share of filters that are primary, in (0, 1); 1/2 in the paper.
        rank: None for full coefficients; an int for a constant rank (10 in the paper), lowered to P where P is
            smaller since no A has a higher rank; a float in (0, 1] for a proportion of P.
        sparsity: None, or the share of zero coefficients, in (0, 1), that `SparsitySchedule` is to reach.
        mode: "weight", "feature" or "auto": the form estimated to take less time for the input at hand, from its MACs
            and the values it moves, as single precision on CPUs weighs them. At inference even the better of the two
            can take more time than the folded layer where a call is short or the filters are few; see
            `linconv.fold` and `linconv.optimize`.
        init: "paper" (V Xavier-uniform, coefficients and bias uniform in (-0.1, 0.1)) or "variance_preserving"
            (V He-uniform for ReLU, bias 0, coefficients scaled so that secondary filters have the primaries'
            variance; for networks without batch normalization).

    Raises:
        UnsupportedConvError: fewer than 1 primary filter.
        ValueError: an option out of its range, `rank` together with `sparsity`, mode "feature" with groups > 1, or
            whatever `nn.Conv2d` refuses.
    """

    inits = get_args(Init)
    fits = ("least_squares",)

    def build(
        self,
        factory: Factory,
        *,
        primary_ratio: Share = 0.5,
        rank: Rank | None = None,
        sparsity: Share | None = None,
        mode: Mode = "auto",
        init: Init = "paper",
    ) -> None:
        if rank is not None and sparsity is not None:
            raise ValueError("rank and sparsity exclude each other: choose low-rank or sparse coefficients")
        primaries = share_of(primary_ratio, self.out_channels)
        if primaries < 1:
            raise UnsupportedConvError(
                f"primary_ratio {primary_ratio} of {self.out_channels} filters leaves no primary filter; "
                "raise it or keep this convolution plain"
            )
        # secondary filters of other groups see other inputs than primary ones: no feature space
        self.forms = ("weight",) if self.groups > 1 else ("weight", "feature")
        self.primary_ratio, self.init, self.mode = primary_ratio, init, mode
        self.primary_filters = factory.parameter(primaries, *self.filter_shape)
        self.coefficients = make_coefficients(primaries, self.out_channels - primaries, rank, sparsity, factory)
        self.coefficients.init = init

    def reset_parameters(self) -> None:
        """Draw new parameters as `init` says."""
        if self.init == "paper":
            nn.init.xavier_uniform_(self.primary_filters)
        else:
            nn.init.kaiming_uniform_(self.primary_filters, nonlinearity="relu")
        self.coefficients.reset_parameters()
        if self.bias is not None:
            bound = 0.1 if self.init == "paper" else 0.0
            nn.init.uniform_(self.bias, -bound, bound)

    @property
    def mode(self) -> str:
        """ "weight", "feature" or "auto"; may be changed at any time."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        check_mode(mode)
        if mode not in ("auto", *self.forms):
            raise ValueError(
                f"mode 'feature' is exact for groups=1 only, not groups={self.groups}: secondary filters see other "
                "input channels than primary ones; use 'weight' or 'auto'"
            )
        self._mode = mode

    @property
    def weight(self) -> Tensor:
        """The full filter bank W = [V; A V], (N, c/g, kh, kw), differentiable."""
        primary = self.primary_filters.flatten(1)  # (P, D)
        weight = torch.cat([primary, self.coefficients.combine(primary).to(primary.dtype)])  # (N, D)
        return weight.view(self.out_channels, *self.filter_shape)

    @property
    def primaries(self) -> int:
        """P, the number of primary filters."""
        return self.coefficients.primaries

    def forward(self, input: Tensor) -> Tensor:
        if self.form_for(input) == "weight":
            return self.convolve(input, self.weight, self.bias)
        primary = self.convolve(input, self.primary_filters)  # without the bias: A acts on V * x
        return self._stacked(primary) if self._stacks(input) else self._concatenated(primary)

    def _concatenated(self, primary: Tensor) -> Tensor:
        """[y; A y] plus the bias, for primary features y (n, P, h, w)."""
        if self.bias is None:
            return torch.cat([primary, self.coefficients.pointwise(primary)], dim=-3)
        primary_bias, secondary_bias = self.bias[: self.primaries], self.bias[self.primaries :]
        secondary = self.coefficients.pointwise(primary, secondary_bias)
        # under autocast the bias is wider than the features and would widen them
        return torch.cat([primary + primary_bias.to(primary.dtype)[:, None, None], secondary], dim=-3)

    def _stacked(self, primary: Tensor) -> Tensor:
        """The same by one product with [I; A]. An infinite primary feature makes its whole pixel NaN."""
        matrix = self.coefficients.matrix()
        identity = torch.eye(self.primaries, dtype=matrix.dtype, device=matrix.device)
        return pointwise(primary, torch.cat([identity, matrix]), self.bias)

    def _stacks(self, input: Tensor) -> bool:
        """Whether `_stacked` is estimated to be faster than `_concatenated`."""
        return not is_traced(input) and stacks(
            input,
            primaries=self.primaries,
            secondaries=self.coefficients.secondaries,
            combine=self.coefficients.macs_per_column,
            output_values=self.out_channels * self._pixels(input),
        )

    def form_for(self, input: Tensor) -> Form:
        """The form, "weight" or "feature", that `forward` runs for this input; "auto" takes the faster."""
        if self.mode != "auto":
            return self.mode  # type: ignore[return-value]
        # a traced program has one form for all sizes: the form for large ones
        return self.cheapest_form(None if is_traced(input) else self._pixels(input))

    def _pixels(self, input: Tensor) -> int:
        """Output pixels of the whole batch."""
        return math.prod(self.output_size(input.shape[-2:])) * (input.shape[0] if input.dim() == 4 else 1)

    def cheapest_form(self, pixels: int | None) -> Form:
        if "feature" not in self.forms:
            return "weight"
        return faster_form(
            filters=self.out_channels,
            secondaries=self.coefficients.secondaries,
            filter_size=self.filter_size,
            combine=self.coefficients.macs_per_column,
            pixels=pixels,
        )

    @property
    def basis(self) -> Tensor:
        return self.primary_filters

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        """The maps of the feature-space form."""
        primary = Stage(self.primaries * self.filter_size * pixels, reads_input=True)
        return (primary, *(Stage(macs * pixels) for macs in self.coefficients.stages))

    def macs_at(self, form: Form, output_size: tuple[int, ...], input_size: tuple[int, ...]) -> Macs:
        """MACs of a forward pass in a form, for a height and width of the output and of the input.

        Raises:
            ValueError: the feature-space form of a grouped convolution.
        """
        if form == "feature" and "feature" not in self.forms:
            raise ValueError(f"the feature-space form is exact for groups=1 only, not groups={self.groups}")
        if form == "weight":
            folded = super().macs_at("folded", output_size, input_size)
            return Macs(folded.per_image, self.coefficients.macs_per_column * self.filter_size)
        return super().macs_at(form, output_size, input_size)

    def training_macs_at(
        self, form: Form, output_size: tuple[int, ...], input_size: tuple[int, ...], input_needs_grad: bool
    ) -> Macs:
        """MACs of a training step in a form; frozen primary filters and frozen coefficients need no gradient."""
        if form == "folded":
            return super().training_macs_at(form, output_size, input_size, input_needs_grad)
        primary, combines = (p.requires_grad for p in (self.primary_filters, next(self.coefficients.parameters())))
        pixels = math.prod(output_size)
        if form == "weight":  # the convolution with W, and the product A V that is part of W
            convolution = (1 + (primary or combines) + input_needs_grad) * self.out_channels * self.filter_size
            return Macs(convolution * pixels, self._product_training_macs(combines, primary) * self.filter_size)
        convolution = (1 + primary + input_needs_grad) * self.primaries * self.filter_size
        return Macs((convolution + self._product_training_macs(combines, primary or input_needs_grad)) * pixels)

    def _product_training_macs(self, combines: bool, below: bool) -> int:
        """Forward and gradients of A's product with one column; `below`: what A multiplies needs a gradient.

        The second factor of A = C R multiplies what the first one makes, and so needs the gradient wherever A learns.
        """
        first, *later = self.coefficients.stages
        return (1 + combines + below) * first + (1 + combines + (combines or below)) * sum(later)

    @property
    def paper_flops_of_filters(self) -> int:
        """The product A V, once per image, with the full c even where g > 1."""
        return self.coefficients.paper_flops_per_column * self.in_channels * math.prod(self.kernel_size)

    @classmethod
    def from_conv2d(cls, conv: nn.Conv2d, *, init: str = "least_squares", **options: Any) -> Self:
        """The layer of the same shape, on the same device, in place of `conv`.

        Args:
            init: "least_squares" starts from the convolution's filters: the first P are the primaries, and A and V
                are solved for each other in turn until the error stops falling. Exact where the first P filters
                span all and A of the wanted kind suffices. "paper" and "variance_preserving" draw new
                parameters and keep nothing of `conv`.
            options: `primary_ratio`, `rank`, `sparsity`, `mode`.
        """
        return super().from_conv2d(conv, init=init, **options)

    def fit_(self, conv: nn.Conv2d, init: str) -> None:
        primary, state = least_squares(conv.weight, self.coefficients)
        self.coefficients.load_state_dict(state)
        self.primary_filters.copy_(primary.view_as(self.primary_filters))
        if self.bias is not None and conv.bias is not None:
            self.bias.copy_(conv.bias)

    @property
    def params_expected(self) -> int:
        """The number of parameters, sparse coefficients counted at the wanted sparsity."""
        bias = 0 if self.bias is None else self.bias.numel()
        return self.primary_filters.numel() + self.coefficients.params_expected + bias

    def extra_repr(self) -> str:
        parts = [super().extra_repr(), f"primaries={self.primaries}"]
        parts += [f"{k}={getattr(self.coefficients, k)}" for k in ("rank", "sparsity") if hasattr(self.coefficients, k)]
        kept = (self.primary_filters.numel() + self.coefficients.params_expected) / (
            self.out_channels * self.filter_size
        )
        return ", ".join([*parts, f"mode={self.mode!r}", f"parameters={kept:.1%}"])
