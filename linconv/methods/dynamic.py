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

from linconv.config.rules import share_of
from linconv.layers import ConvReplacement, Count, Factory, Positive, Stage, UnsupportedConvError, pointwise
from linconv.layers.geometry import in_layout_of

LEAST_HIDDEN = 4


class DynamicConv2d(ConvReplacement):
    """W(x) = sum_j a_j(x) F_j, a = U relu(T mean(x) + t) + u; J N D + h (c + 1) + J (h + 1) parameters.

    With a budget the banks G_j have r filters each, and one matrix C (N, r) makes N of them: W(x) = C sum_j a_j(x) G_j,
    J r D + N r parameters beside the encoder's. It runs by mixing the banks of each image and convolving all images
    at once, a group each: J r D MACs for an image and r D for each pixel of the output, where mixing the outputs of
    the banks would take J r D for each pixel.

    Args:
        banks: J.
        budget: banks and C have at most that share of the N D values of plain filters; None gives J full banks.
        hidden: h as a share of the input channels; at least 4.

    Raises:
        UnsupportedConvError: a budget for groups > 1, or one too small for a single filter in each bank.
    """

    folds = False
    forms = ("feature",)
    combination: nn.Parameter | None

    def build(
        self, factory: Factory, *, banks: Count = 8, budget: Positive | None = None, hidden: Positive = 0.25
    ) -> None:
        filters = self.out_channels
        if budget is not None:
            self.refuse_groups()
            share = share_of(budget, self.out_channels * self.filter_size)
            filters = min(self.out_channels, share // (banks * self.filter_size + self.out_channels))
            if filters < 1:
                raise UnsupportedConvError(f"a budget of {budget} leaves no filter for each of {banks} banks")
        width = max(LEAST_HIDDEN, share_of(hidden, self.in_channels))
        # all banks in one tensor of four dimensions, which has a channels_last layout as other filters do
        self.filters = factory.parameter(banks * filters, *self.filter_shape)
        self._filters_per_bank = filters
        self.encode = nn.Linear(self.in_channels, width, **factory._asdict())
        self.mix = nn.Linear(width, banks, **factory._asdict())
        if budget is None:
            self.register_parameter("combination", None)
        else:
            self.combination = factory.parameter(self.out_channels, filters)

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
        self.reset_bias()

    @property
    def banks(self) -> Tensor:
        """F, or G with a budget, (J, r, c/g, kh, kw)."""
        return self.filters.unflatten(0, (-1, self._filters_per_bank))

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() == 3:
            return self.forward(input[None])[0]
        images, filters = input.shape[0], self._filters_per_bank
        if images == 0:  # a convolution of no groups is refused; any filters make an output without images
            return self._combine(self.convolve(input, self.banks[0]))
        coefficients = self.mix(F.relu(self.encode(input.mean(dim=(-2, -1)))))  # (n, J)
        mixed = coefficients @ self.banks.flatten(1).to(coefficients.dtype)  # (n, r D)
        weight = mixed.view(images * filters, *self.filter_shape)
        bias = None if self.bias is None or self.combination is not None else self.bias.repeat(images)
        together = input.reshape(1, -1, *input.shape[-2:])  # images side by side as channels, a group each
        output = self.convolve(together, weight, bias, groups=images * self.groups)
        return in_layout_of(input, self._combine(output.view(images, filters, *output.shape[-2:])))

    def _combine(self, maps: Tensor) -> Tensor:
        """(n, r, h', w') -> (n, N, h', w'), with the bias that the maps of banks without C have already."""
        return maps if self.combination is None else pointwise(maps, self.combination, self.bias)

    @property
    def basis(self) -> Tensor:
        return self.filters

    def match_(self, conv: nn.Conv2d) -> None:
        start = torch.tensordot(self.mix.bias, self.banks, 1).flatten(1)
        if self.combination is not None:
            start = self.combination @ start
        self.rescale_(float(start.std()), float(conv.weight.std()), self.filters)

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
