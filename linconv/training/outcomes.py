"""The outcome of every test image under a trained network, in the canonical order of `linconv.results.outcomes`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.results.outcomes import Outcomes
from linconv.training.step import autocast


def image_outcomes(
    forward: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], order: np.ndarray, precision: str = "fp32"
) -> Outcomes:
    """What `forward`, in eval mode, makes of every image: the same pass as `linconv.training.engine.evaluate`.

    Args:
        batches: of the test set, unshuffled.
        order: the canonical order, int (n,), `Dataset.test_order`.
        precision: the recipe's, at which the forward pass runs.
    """
    forward.eval()
    correct, log_prob = [], []
    for x, y in batches:
        with torch.inference_mode():
            with autocast(precision, x.device.type):
                logits = forward(x)
            correct.append(logits.argmax(1) == y)
            log_prob.append(F.log_softmax(logits.float(), 1).gather(1, y.unsqueeze(1)).squeeze(1))
    return Outcomes(torch.cat(correct).cpu().numpy()[order], torch.cat(log_prob).cpu().numpy()[order])
