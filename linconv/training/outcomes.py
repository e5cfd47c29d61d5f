"""The outcome of every test image under a trained network, in the canonical order of `linconv.results.outcomes`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.results import RunMetrics, RunOutcomes, RunWarning
from linconv.results.outcomes import FILE, Outcomes, write_outcomes
from linconv.training.engine import Training
from linconv.training.step import autocast

log = logging.getLogger("linconv")
ATTEMPTS = 3  # to see the reported accuracy again, image by image


def write_image_outcomes(
    training: Training, precision: str, folder: Path, metrics: RunMetrics
) -> tuple[RunOutcomes | None, list[RunWarning]]:
    """Write what the reported network makes of every test image; nothing for a diverged run.

    The outcomes must give the accuracy that the training reported. Where the device does not repeat itself so exactly,
    the network is evaluated again, and in the end left without outcomes, with a warning.
    """
    (folder / FILE).unlink(missing_ok=True)  # of an earlier training
    if training.diverged or training.data is None:
        return None, []
    order = training.data.test_order.numpy()
    for _ in range(ATTEMPTS):
        batches = training.team.pieces(training.test_batches)(metrics.epoch - 1)
        found = image_outcomes(training.forward, batches, order, precision)
        top1 = 100 * int(found.correct.sum()) / len(found.correct)
        if top1 == metrics.top1:
            return write_outcomes(folder, found), []
    message = f"evaluated {ATTEMPTS} times more, the network gave a top-1 of {top1:.6g} %, not {metrics.top1:.6g} %"
    log.warning("no outcomes per image are kept: %s", message)
    return None, [RunWarning(code="outcomes_not_repeatable", message=message)]


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
