"""The exact forms of a layer, and the estimate of which form of a LinearConv layer takes less time.

The constants were measured in single precision on CPUs; docs/decisions.md says how.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from linconv.config.rules import Mode
from linconv.layers.geometry import in_channels_last

Form = Literal["weight", "feature", "folded"]
MODES: tuple[str, ...] = get_args(Mode)

MACS_PER_OUTPUT_VALUE = 90  # cost, in MACs, of each extra read and write of an output value in feature space
# On a CPU, with at most so many primary filters and at least so many output values (beyond the second-level cache),
# one 1x1 convolution with [I; A] is faster than torch.cat.
MAX_STACKED_PRIMARIES, MIN_STACKED_VALUES = 64, 2**20


def check_mode(mode: object) -> None:
    """Raise ValueError unless `mode` is one of `MODES`."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")


def is_traced(input: Tensor) -> bool:
    """Whether a program for all sizes is being made of the layer: by torch.export or by symbolic tracing."""
    return torch.compiler.is_exporting() or isinstance(input, torch.fx.Proxy)


def faster_form(
    *, filters: int, secondaries: int, filter_size: int, combine: int, pixels: int | None
) -> Literal["weight", "feature"]:
    """The form of a LinearConv layer that is estimated to take less time.

    Feature space is charged its MACs and `MACS_PER_OUTPUT_VALUE` for every output value, because it writes and reads
    the primary features once more than weight space. With full coefficients it wins where
    D - P >= `MACS_PER_OUTPUT_VALUE` N / S.

    Args:
        filters: N.
        secondaries: S.
        filter_size: D, the values of one filter.
        combine: MACs of the product of A and one column of P values.
        pixels: output pixels of the whole batch; None for very many.
    """
    extra = combine + MACS_PER_OUTPUT_VALUE * filters - secondaries * filter_size
    if extra <= 0:
        return "feature"
    return "feature" if pixels is not None and pixels * extra <= combine * filter_size else "weight"


def stacks(input: Tensor, *, primaries: int, secondaries: int, combine: int, output_values: int) -> bool:
    """Whether one 1x1 convolution with [I; A] makes [y; A y] of the primary features y faster than torch.cat does.

    The P P products with the identity are no part of the MACs that are counted.

    Args:
        input: of the layer.
        primaries, secondaries: P and S.
        combine: MACs of the product of A and one column of P values.
        output_values: of the whole batch.
    """
    thin = primaries <= MAX_STACKED_PRIMARIES and primaries * secondaries <= 2 * combine
    if not thin or input.device.type != "cpu" or output_values < MIN_STACKED_VALUES:
        return False
    return in_channels_last(input)
