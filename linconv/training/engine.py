"""The training loop: the only one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.config import Recipe
from linconv.results import Epoch
from linconv.training.schedules import learning_rate

Batches = Callable[[int], Iterator[tuple[Tensor, Tensor]]]


class Term(NamedTuple):
    """weight * penalty(model), added to the loss of every `period`-th step."""

    penalty: Callable[[nn.Module], Tensor]
    weight: float
    period: int


class Callback:
    """What happens beside the loop. `state_dict` and `load_state_dict` travel with the checkpoint."""

    def on_train_start(self, training: Training) -> None: ...

    def on_step_end(self, training: Training) -> None: ...

    def on_epoch_end(self, training: Training) -> None: ...

    def on_train_end(self, training: Training) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass
class Training:
    """A training in progress: what the loop needs, what callbacks see, what a checkpoint saves.

    A callback that sets `stop` ends it after the step in progress, in the middle of an epoch: what continues from
    there is the last epoch's checkpoint, not this object.

    `train_batches(epoch)` yields the batches of that epoch, the same ones whenever it is asked;
    `test_batches(epoch)` those of the test set, `validation_batches(epoch)` those of the part held out, if any.
    `epoch` and `step` count finished ones, from 0.
    """

    model: nn.Module
    recipe: Recipe
    train_batches: Batches
    test_batches: Batches
    batches_per_epoch: int
    terms: Sequence[Term] = ()
    callbacks: Sequence[Callback] = ()
    validation_batches: Batches | None = None
    optimizer: torch.optim.Optimizer = field(init=False)
    history: list[Epoch] = field(default_factory=list)
    epoch: int = 0
    step: int = 0
    diverged: bool = False
    stop: bool = False

    def __post_init__(self) -> None:
        self.optimizer = make_optimizer(self.model, self.recipe)


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over the model's trainable parameters."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        parameters,
        recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


def fit(training: Training) -> Training:
    """Train from wherever `training` stands until the recipe's last epoch.

    The end comes earlier where the loss is no longer finite (`diverged`) or a callback asks for it (`stop`).
    """
    for callback in training.callbacks:
        callback.on_train_start(training)
    while training.epoch < training.recipe.epochs and not (training.diverged or training.stop):
        train_loss, train_top1, penalty = _train_epoch(training)
        if training.stop:
            break
        test_loss, test_top1 = evaluate(training.model, training.test_batches(training.epoch))
        val_loss, val_top1 = None, None
        if training.validation_batches is not None:
            val_loss, val_top1 = evaluate(training.model, training.validation_batches(training.epoch))
        losses = [train_loss, test_loss] if val_loss is None else [train_loss, test_loss, val_loss]
        training.diverged = not all(map(math.isfinite, losses))
        training.epoch += 1
        training.history.append(
            Epoch(
                epoch=training.epoch,
                learning_rate=training.optimizer.param_groups[0]["lr"],
                train_loss=_finite(train_loss),
                train_top1=train_top1,
                penalty=_finite(penalty),
                test_loss=_finite(test_loss),
                test_top1=test_top1,
                val_loss=None if val_loss is None else _finite(val_loss),
                val_top1=val_top1,
            )
        )
        for callback in training.callbacks:
            callback.on_epoch_end(training)
    for callback in training.callbacks:
        callback.on_train_end(training)
    return training


def _train_epoch(training: Training) -> tuple[float, float, float]:
    """One epoch, or its part before `stop`: mean cross-entropy, accuracy in percent, mean penalty per step."""
    model, optimizer = training.model, training.optimizer
    model.train()
    sums: Tensor | None = None  # loss, correct, samples, penalty: on the device until the epoch ends
    batch = 0
    for batch, (x, y) in enumerate(training.train_batches(training.epoch)):
        rate = learning_rate(training.recipe, training.epoch, batch, training.batches_per_epoch)
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits = model(x)  # (n, classes)
        loss = F.cross_entropy(logits, y)
        due = [term for term in training.terms if training.step % term.period == 0]
        penalty = sum((term.weight * term.penalty(model) for term in due), start=torch.zeros_like(loss))
        optimizer.zero_grad(set_to_none=True)
        (loss + penalty if due else loss).backward()
        optimizer.step()
        with torch.no_grad():
            correct = (logits.argmax(1) == y).sum()
            here = torch.stack([loss * len(y), correct, torch.full_like(loss, len(y)), penalty]).double()
            sums = here if sums is None else sums + here
        training.step += 1
        for callback in training.callbacks:
            callback.on_step_end(training)
        if training.stop:
            break
    assert sums is not None, "a data set has at least one batch"
    loss_sum, right, samples, penalty_sum = sums.tolist()
    return loss_sum / samples, 100 * right / samples, penalty_sum / (batch + 1)


@torch.no_grad()
def evaluate(model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Mean cross-entropy and accuracy in percent over the batches, in eval mode."""
    model.eval()
    loss_sum, right, samples = 0.0, 0.0, 0
    totals: list[Tensor] = []
    for x, y in batches:
        logits = model(x)
        loss = F.cross_entropy(logits, y, reduction="sum")
        totals.append(torch.stack([loss.double(), (logits.argmax(1) == y).sum().double()]))
        samples += len(y)
    loss_sum, right = torch.stack(totals).sum(0).tolist()
    return loss_sum / samples, 100 * right / samples


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
