"""A warm start: the plain network first, then layers that go on from its filters.

Source: H. Wang, S. Agarwal, D. Papailiopoulos, "Pufferfish: Communication-efficient Models At No Extra Cost", MLSys
2021, algorithm 1: some epochs of the full network, a truncated SVD of its filters, then the low-rank network for the
rest of the epochs.
"""

from __future__ import annotations

import copy
import logging
from typing import Any

import torch
from torch import nn

from linconv.config import ResolvedRun
from linconv.config.errors import UserError
from linconv.layers import warm_start_init
from linconv.models import replace_convolutions
from linconv.training.change import Adapt, NetworkChange, epochs_before
from linconv.training.engine import Training

log = logging.getLogger("linconv")


class WarmStart(NetworkChange):
    """Replaces the convolutions of a run's plain network before the epoch that its variant's `warm_start` says.

    Args:
        run: whose variant has one.
        layout: the memory layout of the network.

    Raises:
        UserError: the layer cannot start from trained filters, or there are not two epochs.
    """

    def __init__(self, run: ResolvedRun, layout: torch.memory_format) -> None:
        assert run.definition.warm_start is not None
        super().__init__(epochs_before(run.definition.warm_start, run.recipe.epochs, "warm_start"))
        try:
            self._init = warm_start_init(run.definition)
        except ValueError as error:
            raise UserError(f"variant '{run.variant}': {error}") from None
        self._run, self._layout = run, layout

    def choose(self, training: Training) -> bool:
        return True

    def changed(self, model: nn.Module, choice: Any) -> tuple[nn.Module, Adapt]:
        return self._replaced(model, init=self._init), lambda name, moment: moment

    def reshaped(self, model: nn.Module, choice: Any) -> nn.Module:
        return self._replaced(model)  # fitting filters takes time, and they are loaded next

    def after_change(self, training: Training, before: int) -> None:
        after = sum(p.numel() for p in training.model.parameters())
        log.info(
            "warm start: convolutions replaced after epoch %d (%s), %d of %d parameters left",
            training.epoch,
            self._init,
            after,
            before,
        )

    def _replaced(self, model: nn.Module, **options: Any) -> nn.Module:
        copied = copy.deepcopy(model)
        replaced = replace_convolutions(self._run.architecture, copied, self._run.definition, **options)
        return replaced.to(memory_format=self._layout)
