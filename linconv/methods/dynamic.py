"""Dynamic convolution: every image has its own filters, mixed from banks by coefficients read off the image.

Source: W. Shen, R. Liu, "Learning to Generate Filters for Convolutional Neural Networks", arXiv 1812.01894, 2018. There
an autoencoder of the whole image gives the features for every layer; a layer that replaces one convolution has its own
input alone and reads the coefficients off the mean of each of its channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.layers.coefficients import count_primaries
from linconv.layers.replacement import (
    ConvReplacement,
    Device,
    PaddingMode,
    RefusedError,
    Stage,
    check_number,
    pointwise,
)

LEAST_HIDDEN = 4


class DynamicConv2d(ConvReplacement):
    """W(x) = sum_j a_j(x) F_j, a = U relu(T mean(x) + t) + u; J N D + h (c + 1) + J (h + 1) parameters.

    With a budget the banks G_j have r filters each, and one matrix C (N, r) makes N of them: W(x) = C sum_j a_j(x) G_j,
    J r D + N r parameters beside the encoder's. It runs by mixing the banks of each image and convolving all images
    at once, a group each: J r D MACs for an image and r D for each pixel of the output, where mixing the outputs of
    the banks would take J r D for each pixel.

    Args:
        banks: J.
        budget: banks and C have at most that share of the N D numbers of plain filters; None gives J full banks.
        hidden: h as a share of the input channels; at least 4.

    Raises:
        RefusedError: a budget for groups > 1, or one too small for a single filter in each bank.
        ValueError: an option out of its range, or whatever `nn.Conv2d` refuses.
    """

    folds = False

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
        banks: int = 8,
        budget: float | None = None,
        hidden: float = 0.25,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        if isinstance(banks, bool) or not isinstance(banks, int) or banks < 1:
            raise ValueError(f"banks must be an int of at least 1, not {banks!r}")
        if budget is not None:
            check_number("budget", budget, "above 0", lambda share: 0 < share < math.inf)
        check_number("hidden", hidden, "above 0", lambda share: 0 < share < math.inf)
        filters = out_channels
        if budget is not None:
            self._refuse_groups(groups)
            share = count_primaries(budget, out_channels * self.filter_size)
            filters = min(out_channels, share // (banks * self.filter_size + out_channels))
            if filters < 1:
                raise RefusedError(f"a budget of {budget} leaves no filter for each of {banks} banks")
        width = max(LEAST_HIDDEN, count_primaries(hidden, in_channels))
        # all banks in one tensor of four dimensions, which has a channels_last layout as other filters do
        self.filters = nn.Parameter(torch.empty(banks * filters, *self._filter_shape, device=device, dtype=dtype))
        self._filters_per_bank = filters
        self.encode = nn.Linear(in_channels, width, device=device, dtype=dtype)
        self.mix = nn.Linear(width, banks, device=device, dtype=dtype)
        if budget is not None:
            self.combination: nn.Parameter | None = nn.Parameter(
                torch.empty(out_channels, filters, device=device, dtype=dtype)
            )
        else:
            self.register_parameter("combination", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        banks, filters = self.banks.shape[:2]
        # equal coefficients of 1 / sqrt(J) to start from keep the variance of a bank, drawn as nn.Conv2d draws
        self.encode.reset_parameters()
        self.mix.reset_parameters()
        nn.init.zeros_(self.mix.weight)  # whatever the input: coefficients that grow with it would square it
        nn.init.constant_(self.mix.bias, 1 / math.sqrt(banks))
        bound = 1 / math.sqrt(self.filter_size)
        nn.init.uniform_(self.filters, -bound, bound)
        if self.combination is not None:
            nn.init.uniform_(self.combination, -math.sqrt(3 / filters), math.sqrt(3 / filters))
        self._reset_bias()

    @property
    def banks(self) -> Tensor:
        """F, or G with a budget, (J, r, c/g, kh, kw)."""
        return self.filters.unflatten(0, (-1, self._filters_per_bank))

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() == 3:
            return self.forward(input[None])[0]
        images, filters = input.shape[0], self._filters_per_bank
        coefficients = self.mix(F.relu(self.encode(input.mean(dim=(-2, -1)))))  # (n, J)
        mixed = coefficients @ self.banks.flatten(1).to(coefficients.dtype)  # (n, r D)
        weight = mixed.view(images * filters, *self._filter_shape)
        bias = None if self.bias is None or self.combination is not None else self.bias.repeat(images)
        together = input.reshape(1, -1, *input.shape[-2:])  # images side by side as channels, a group each
        output = self._conv(together, weight, bias, groups=images * self.groups)
        output = output.view(images, filters, *output.shape[-2:])
        return output if self.combination is None else pointwise(output, self.combination, self.bias)

    @property
    def basis(self) -> Tensor:
        return self.filters

    @torch.no_grad()
    def _match_(self, conv: nn.Conv2d) -> None:
        start = torch.tensordot(self.mix.bias, self.banks, 1).flatten(1)
        if self.combination is not None:
            start = self.combination @ start
        drawn, wanted = float(start.std()), float(conv.weight.std())
        if drawn > 0 and math.isfinite(wanted):
            self.filters.mul_(wanted / drawn)

    def stages(self, pixels: int, input_pixels: int) -> tuple[Stage, ...]:
        banks, filters = self.banks.shape[:2]
        stages = (
            Stage(self.encode.weight.numel(), reads_input=True),
            Stage(self.mix.weight.numel()),
            Stage(banks * filters * self.filter_size),
            Stage(filters * self.filter_size * pixels, reads_input=True),
        )
        return stages if self.combination is None else (*stages, Stage(self.combination.numel() * pixels))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, banks={self.banks.shape[0]}, filters={self.banks.shape[1]}"
