"""LinearConv: learn P of a convolution's N filters, make the other S = N - P as linear combinations of them.

Source: K. Kahatapitiya, R. Rodrigo, "Exploiting the Redundancy in Convolutional Filters for Parameter Reduction",
WACV 2021 (arXiv 1907.11432), section 3. The feature-space form is not in the paper; it is exact, see `LinearConv2d`.
"""

from __future__ import annotations

import copy
import math
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from linconv.layers.coefficients import Device, count_primaries, make_coefficients
from linconv.layers.geometry import in_channels_last
from linconv.layers.replacement import (
    ConvReplacement,
    Form,
    Macs,
    PaddingMode,
    RefusedError,
    Stage,
    pointwise,
)

MODES = ("weight", "feature", "auto")
MOST_ALTERNATIONS = 30
MOVED = 90  # the time of a number of the output that feature space moves more often, in multiply-accumulates
# Up to so many primary filters and from so many numbers of the output on (more than a cache of the second level holds),
# a CPU multiplies by the identity faster than it copies.
STACKED, FAR = 64, 2**20


class LinearConv2d(ConvReplacement):
    """A drop-in for `nn.Conv2d` whose filter bank is W = [V; A V].

    V, the primary filters, are P = floor(primary_ratio * out_channels) free filters of D = c/g * kh * kw numbers;
    A, the coefficients, make the S = out_channels - P secondary ones. Parameters: P D + S P (full A) or
    P D + r (S + P) (A = C R of rank r), plus the bias, instead of out_channels * D. The arguments up to `dtype` and
    the shapes of input (n, c, h, w) or (c, h, w) and output are those of `nn.Conv2d`.

    Three exact ways lead to the same output:
    weight space (the paper's): build W, then one convolution: S P D extra MACs per step;
    feature space: y = V * x, then [y; A y], a 1x1 convolution: P D + S P MACs per pixel, not N D; groups = 1 only;
    folded: `to_conv2d()`, a plain convolution once training is over.

    `weight` is made anew at each access, so initialising it in place changes nothing: use `reset_parameters()` or
    `from_conv2d`. With groups > 1 the primaries fill the first groups of W, so primary and secondary filters see
    different input channels; that is the paper's scheme.

    Args:
        primary_ratio: share of filters that are primary, in (0, 1); 1/2 in the paper.
        rank: None for full coefficients; an int for a constant rank (10 in the paper), lowered to P where P is
            smaller since no A has a higher rank; a float in (0, 1] for a proportion of P.
        sparsity: None, or the share of zero coefficients, in (0, 1), that `SparsitySchedule` is to reach.
        mode: "weight", "feature" or "auto": the one expected to take less time for the input at hand by its MACs and
            the numbers it moves, as single precision on CPUs weighs them. At inference even the better of the two
            can take more time than the folded layer where a call is short or the filters are few; see
            `linconv.fold` and `linconv.optimize`.
        init: "paper" (V Xavier-uniform, coefficients and bias uniform in (-0.1, 0.1)) or "variance_preserving"
            (V He-uniform for ReLU, bias 0, coefficients scaled so that secondary filters have the primaries'
            variance; for networks without batch normalisation).

    Raises:
        ValueError: an option out of its range, `rank` together with `sparsity`, fewer than 1 primary filter,
            mode "feature" with groups > 1, or whatever `nn.Conv2d` refuses.
    """

    inits = ("paper", "variance_preserving")
    fits = ("least_squares",)

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
        *,
        primary_ratio: float = 0.5,
        rank: int | float | None = None,
        sparsity: float | None = None,
        mode: Literal["weight", "feature", "auto"] = "auto",
        init: Literal["paper", "variance_preserving"] = "paper",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        _check_options(primary_ratio, rank, sparsity, init)
        primaries = count_primaries(primary_ratio, out_channels)
        if primaries < 1:
            raise RefusedError(
                f"primary_ratio {primary_ratio} of {out_channels} filters leaves no primary filter; "
                "raise it or keep this convolution plain"
            )
        self.primary_ratio, self.init = primary_ratio, init
        self.mode = mode
        secondaries = out_channels - primaries
        self.primary_filters = nn.Parameter(torch.empty(primaries, *self._filter_shape, device=device, dtype=dtype))
        self.coefficients = make_coefficients(primaries, secondaries, rank, sparsity, device, dtype)
        self.coefficients.init = init
        self.reset_parameters()

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
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
        if mode == "feature" and self.groups > 1:
            raise ValueError(
                f"mode 'feature' is exact for groups=1 only, not groups={self.groups}: secondary filters see other "
                "input channels than primary ones; use 'weight' or 'auto'"
            )
        self._mode = mode

    @property
    def weight(self) -> Tensor:
        """The full filter bank W = [V; A V], (N, c/g, kh, kw), differentiable."""
        primary = self.primary_filters.flatten(1)  # (P, D)
        weight = torch.cat([primary, self.coefficients(primary).to(primary.dtype)])  # (N, D)
        return weight.view(self.out_channels, *self._filter_shape)

    @property
    def primaries(self) -> int:
        """P, the number of primary filters."""
        return self.coefficients.primaries

    def forward(self, input: Tensor) -> Tensor:
        if self.form_for(input) == "weight":
            return self._conv(input, self.weight, self.bias)
        if self._stacks(input):
            primary = self._conv(input, self.primary_filters)
            matrix = self.coefficients.matrix()
            identity = torch.eye(self.primaries, dtype=matrix.dtype, device=matrix.device)
            return pointwise(primary, torch.cat([identity, matrix]), self.bias)
        if self.bias is None:
            primary = self._conv(input, self.primary_filters)
            return torch.cat([primary, self.coefficients.pointwise(primary)], dim=-3)
        primary_bias, secondary_bias = self.bias[: self.primaries], self.bias[self.primaries :]
        primary = self._conv(input, self.primary_filters)  # A acts on V * x, which has no bias yet
        secondary = self.coefficients.pointwise(primary, secondary_bias)
        # under autocast the bias is wider than the features and would widen them
        return torch.cat([primary + primary_bias.to(primary.dtype)[:, None, None], secondary], dim=-3)

    def _stacks(self, input: Tensor) -> bool:
        """Whether one 1x1 convolution with [I; A] writes both halves, which a CPU does faster than it joins them.

        The P P products with the identity are no part of `macs`. A primary feature that is infinite makes all of the
        pixel NaN, where the other forms keep the primary features apart.
        """
        if torch.compiler.is_exporting() or isinstance(input, torch.fx.Proxy):
            return False
        full = self.primaries * self.coefficients.secondaries
        thin = self.primaries <= STACKED and full <= 2 * self.coefficients.macs_per_column
        if not thin or input.device.type != "cpu" or self.out_channels * self._pixels(input) < FAR:
            return False
        return in_channels_last(input)

    def form_for(self, input: Tensor) -> Form:
        """The form, "weight" or "feature", that `forward` runs for this input; "auto" takes the faster."""
        if self.mode != "auto":
            return self.mode  # type: ignore[return-value]
        # an exported or symbolically traced program has one form for all sizes: the one for large ones
        if torch.compiler.is_exporting() or isinstance(input, torch.fx.Proxy):
            return self.cheapest_form(None)
        return self.cheapest_form(self._pixels(input))

    def _pixels(self, input: Tensor) -> int:
        """Output pixels of the whole batch."""
        return math.prod(self.output_size(input.shape[-2:])) * (input.shape[0] if input.dim() == 4 else 1)

    def cheapest_form(self, pixels: int | None) -> Form:
        """The form that takes less time for that many output pixels in the batch (None: very many).

        Feature space is charged its MACs and, for every number of the output, the time of `MOVED` more: it writes and
        reads the primary features once more than weight space. With full coefficients it wins where
        D - P >= `MOVED` N / S.
        """
        if self.groups > 1:
            return "weight"
        filter_size, combine = self.filter_size, self.coefficients.macs_per_column
        extra = combine + MOVED * self.out_channels - self.coefficients.secondaries * filter_size
        if extra <= 0:
            return "feature"
        return "feature" if pixels is not None and pixels * extra <= combine * filter_size else "weight"

    @property
    def basis(self) -> Tensor:
        return self.primary_filters

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        """The maps of the feature-space form."""
        primary = Stage(self.primaries * self.filter_size * pixels, reads_input=True)
        return (primary, *(Stage(macs * pixels) for macs in self.coefficients.stages))

    def macs(self, form: Form, pixels: int, input_pixels: int | None = None) -> Macs:
        """Multiply-accumulates of one forward pass in that form, for `pixels` output positions per image.

        Raises:
            ValueError: the feature-space form of a grouped convolution.
        """
        filter_size = self.filter_size
        full, combine = self.out_channels * filter_size, self.coefficients.macs_per_column
        if form == "folded":
            return Macs(full * pixels)
        if form == "weight":
            return Macs(full * pixels, combine * filter_size)
        if self.groups > 1:
            raise ValueError(f"the feature-space form is exact for groups=1 only, not groups={self.groups}")
        return Macs((self.primaries * filter_size + combine) * pixels)

    def macs_at(self, form: Form, output_size: tuple[int, ...], input_size: tuple[int, ...]) -> Macs:
        return self.macs(form, math.prod(output_size))

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

    @torch.no_grad()
    def _fit_(self, conv: nn.Conv2d, init: str) -> None:
        # in double on the CPU: the same filters on every device, and in half precision too
        filters = conv.weight.detach().flatten(1).to("cpu", torch.float64)  # (N, D)
        primary, secondary = filters.split([self.primaries, self.coefficients.secondaries])
        coefficients = copy.deepcopy(self.coefficients).to("cpu", torch.float64)
        identity = torch.eye(self.primaries, dtype=torch.float64)
        # Alternating stays near the filters; the truncated SVD would fit a little better with coefficients that
        # grow without bound where the first P filters nearly depend on each other.
        error = math.inf
        for _ in range(MOST_ALTERNATIONS):
            coefficients.fit_(secondary @ torch.linalg.pinv(primary), primary)
            basis = torch.cat([identity, coefficients.matrix()])  # (N, P)
            solved = torch.linalg.lstsq(basis, filters).solution
            previous, error = error, float((basis @ solved - filters).norm())
            if error >= previous:  # a sparse fit may choose other coefficients and lose
                break
            primary = solved
            self.coefficients.load_state_dict(coefficients.state_dict())
            if previous - error < 1e-3 * previous:
                break
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


def _check_options(ratio: float, rank: int | float | None, sparsity: float | None, init: str) -> None:
    if not 0 < ratio < 1:
        raise ValueError(f"primary_ratio must lie in (0, 1), not {ratio}")
    if rank is not None and sparsity is not None:
        raise ValueError("rank and sparsity exclude each other: choose low-rank or sparse coefficients")
    if isinstance(rank, bool) or (rank is not None and not (0 < rank <= 1 if isinstance(rank, float) else rank >= 1)):
        raise ValueError(f"rank must be an int of at least 1 or a float in (0, 1], not {rank!r}")
    if sparsity is not None and not 0 < sparsity < 1:
        raise ValueError(f"sparsity must lie in (0, 1), not {sparsity}")
    if init not in LinearConv2d.inits:
        raise ValueError(f"init must be one of {', '.join(LinearConv2d.inits)}, not {init!r}")
