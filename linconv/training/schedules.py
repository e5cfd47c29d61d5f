"""Learning-rate schedules as pure functions of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math

from linconv.config import Recipe


def learning_rate(recipe: Recipe, epoch: int, batch: int, batches_per_epoch: int) -> float:
    """The learning rate of one step; `epoch` and `batch` count from 0."""
    step = epoch * batches_per_epoch + batch
    warmup = recipe.warmup_epochs * batches_per_epoch
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    match recipe.schedule:
        case "multistep":
            return recipe.learning_rate * recipe.gamma ** sum(m <= epoch for m in recipe.milestones)
        case "cosine":
            total = recipe.epochs * batches_per_epoch
            return recipe.learning_rate * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2
    return recipe.learning_rate
