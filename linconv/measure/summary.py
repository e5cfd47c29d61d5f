"""A printed table of a model's layers: shapes, parameters and multiply-accumulates."""

from __future__ import annotations

from torch import nn

from linconv.measure.complexity import complexity


def summary(model: nn.Module, input_shape: tuple[int, int, int], batch_size: int = 1) -> None:
    """Print a line for each call of a convolution and linear layer, and the totals of `linconv.complexity`.

    Args:
        model: any module that takes a batch of images; it does not run, a copy of it does.
        input_shape: of one image, (c, h, w).
        batch_size: images per step, over which weight space spreads its coefficient product.

    Raises:
        ValueError, UserError: as `linconv.complexity`.
    """
    print(complexity(model, input_shape, batch_size))  # noqa: T201  (a table to look at is what it is for)
