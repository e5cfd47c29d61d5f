"""What a layer's work is counted in: multiply-accumulates (MACs) of its linear maps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Macs(NamedTuple):
    """Multiply-accumulates of a layer: `per_image`, and `per_step`, spent once whatever the batch."""

    per_image: int
    per_step: int = 0


class Stage(NamedTuple):
    """One linear map of a layer as it runs: its multiply-accumulates for one image.

    `reads_input` says whether the map acts on the layer's input, or on what an earlier stage made of the input. The
    gradient of the layer's input is needed only where something before the layer learns; the gradient of what an
    earlier stage made is always needed.
    """

    macs: int
    reads_input: bool = False


def forward_macs(stages: Iterable[Stage], per_step: int) -> Macs:
    """MACs of a forward pass."""
    return Macs(sum(stage.macs for stage in stages), per_step)


def training_macs(stages: Iterable[Stage], per_step: int, input_needs_grad: bool) -> Macs:
    """MACs of a training step: forward, the gradients of the parameters, the gradients of the inputs that need one."""
    per_image = sum((2 + (input_needs_grad or not stage.reads_input)) * stage.macs for stage in stages)
    return Macs(per_image, 3 * per_step)
