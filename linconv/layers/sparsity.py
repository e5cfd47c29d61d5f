"""The schedule that makes the coefficients of the sparse variant sparse.

Source: Kahatapitiya & Rodrigo, WACV 2021, and their released code, without two of its defects: it advances with
training steps only, and its state is saved.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from linconv.layers.coefficients import SparseCoefficients


class SparsitySchedule:
    """Every `period` training steps, mask |A| > theta and move theta towards the wanted sparsity.

    theta += (2 / (1 + 10^(10 (z - z*))) - 1) * step_size, with z the achieved and z* the wanted sparsity; one theta
    per layer, never below 0. Call `step()` after each optimizer step; save and restore `state_dict()`.

    Args:
        model: any model; its `SparseCoefficients` are scheduled.
        period: training steps between two updates of the masks.
        step_size: the largest change of theta in one update.
        initial_threshold: theta at the start (the paper does not state it).

    Raises:
        ValueError: a period below 1.

    Warns:
        UserWarning: the model has no sparse coefficients, so nothing becomes sparse.
    """

    def __init__(
        self, model: nn.Module, period: int = 500, step_size: float = 1e-5, initial_threshold: float = 0.0
    ) -> None:
        if period < 1:
            raise ValueError(f"period must be at least 1 step, not {period}")
        self.period, self.step_size = period, step_size
        self._layers = {n: m for n, m in model.named_modules() if isinstance(m, SparseCoefficients)}
        if not self._layers:
            warnings.warn("the model has no sparse coefficients to schedule; convert it with `sparsity`", stacklevel=2)
        self.steps = 0
        self.thresholds = dict.fromkeys(self._layers, initial_threshold)

    @torch.no_grad()
    def step(self) -> None:
        """Count one training step and update the masks when `period` of them have passed."""
        self.steps += 1
        if self.steps % self.period:
            return
        for name, layer in self._layers.items():
            layer.mask.copy_(layer.weight.abs() > self.thresholds[name])
            error = 1 - layer.params_nonzero / layer.mask.numel() - layer.sparsity
            change = (2 / (1 + 10 ** (10 * error)) - 1) * self.step_size
            self.thresholds[name] = max(0.0, self.thresholds[name] + change)

    def state_dict(self) -> dict[str, Any]:
        """The steps counted so far and every layer's threshold (the masks are buffers of the model)."""
        return {"steps": self.steps, "thresholds": dict(self.thresholds)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state.

        Raises:
            ValueError: the state belongs to a model with other sparse layers.
        """
        if state["thresholds"].keys() != self.thresholds.keys():
            raise ValueError("the saved sparsity schedule belongs to a model with other sparse layers")
        self.steps, self.thresholds = state["steps"], dict(state["thresholds"])
