"""Batch statistics of the network as it is, in place of running averages that lag behind it.

In a short training, batch normalization's running averages mix the statistics of filters that have changed since.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from linconv.training.step import autocast

BATCHES = 100  # of the training images, at the most


@torch.no_grad()
def recalibrate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    precision: str = "fp32",
    context: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Set the running statistics of every batch normalization to the means over the first `BATCHES` batches.

    Nothing else changes: no parameter, no state of a random generator. Training goes on as it would have, since it
    normalizes by the statistics of each batch.

    Args:
        batches: of training images, x (b, c, h, w) and y (b,), as the network was trained on.
        precision: the recipe's, at which the forward passes run.
        context: in which they run.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    model.eval()  # dropout draws nothing
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None  # the mean over the batches
    for x, _ in itertools.islice(batches, BATCHES):
        with autocast(precision, x.device.type), context():
            model(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
