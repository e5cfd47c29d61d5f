"""The training loop: the only one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.config import Recipe
from linconv.results import Epoch, RateChoice
from linconv.training.compiled import Compiled
from linconv.training.distributed import Batches, Team
from linconv.training.graphs import GraphedStep
from linconv.training.recalibration import recalibrate
from linconv.training.schedules import learning_rate
from linconv.training.step import EagerStep, Metrics, Term, autocast, make_optimizer

if TYPE_CHECKING:
    from linconv.data import Dataset

EVALUATING = "while the network was evaluated"  # the note on an error then


class Callback:
    """What happens beside the loop. `state_dict` and `load_state_dict` travel with the checkpoint.

    `only_watches`: `on_step_end` changes nothing that a step computes, so several steps may run before it is called.
    """

    only_watches = False

    def on_train_start(self, training: Training) -> None: ...

    def on_epoch_start(self, training: Training) -> None: ...

    def on_step_end(self, training: Training) -> None: ...

    def on_epoch_end(self, training: Training) -> None: ...

    def on_train_end(self, training: Training) -> None: ...

    def close(self) -> None:
        """Let go of what is held, however the training ended."""

    def on_model_replaced(self, training: Training) -> None:
        """The training goes on with a model of other shapes."""

    def before_load(self, training: Training, state: dict[str, Any]) -> None:
        """Give the model the shapes it had when a checkpoint was written; `load_state_dict` follows if all fits."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Loop:
    """How the batches of an epoch reach the network: here one by one, from the host."""

    def train_epoch(self, training: Training) -> Metrics:
        """One epoch, or its part before `training.stop`; the metrics of its steps."""
        training.forward.train()
        team = training.team
        for batch, (x, y) in enumerate(team.shares(training.train_batches)(training.epoch)):
            rate = learning_rate(training.recipe, training.epoch, batch, training.batches_per_epoch)
            training.stepper.set_learning_rate(rate)
            training.stepper(x, y, training.terms_due())
            training.step += 1
            training.images += team.images(y)
            for callback in training.callbacks:
                callback.on_step_end(training)
            if team.agree(training.stop):
                training.stop = True
                break
        return training.stepper.read_metrics()

    def evaluate(self, training: Training, batches: Batches) -> tuple[float, float]:
        """Mean cross-entropy and accuracy in percent of the network over the batches."""
        shares = training.team.shares(batches, evaluates=True)(training.epoch)
        sums, samples = evaluation_sums(training.forward, shares, training.recipe.precision)
        return _means(training.team.total(*sums.tolist(), samples))


@dataclass
class Training:
    """A training in progress: what the loop needs, what callbacks see, what a checkpoint saves.

    A callback that sets `stop` ends it after the step in progress, in the middle of an epoch: what continues from
    there is the last epoch's checkpoint, not this object.

    `train_batches(epoch)` yields the batches of that epoch, the same ones whenever it is asked;
    `test_batches(epoch)` those of the test set, `validation_batches(epoch)` those of the part held out, if any.
    `seconds` is the time that training epochs took in this process, and `images` those that they trained on;
    evaluations are left out. `data` is what the batches are drawn from. `rate_search` is how the recipe's learning rate
    was chosen, where it was. `team` are the processes that train it.
    `epoch` and `step` count finished ones, from 0. `loop` brings the batches to the network. `forward` is the model,
    compiled where `compile` says so; `stepper` trains on one batch. `plain_params` are the parameters of the plain
    network, where the recipe scales by them.
    """

    model: nn.Module
    recipe: Recipe
    train_batches: Batches
    test_batches: Batches
    batches_per_epoch: int
    terms: Sequence[Term] = ()
    callbacks: Sequence[Callback] = ()
    validation_batches: Batches | None = None
    compile: bool = False
    cuda_graph: bool = False
    loop: Loop = field(default_factory=Loop)
    team: Team = field(default_factory=Team)
    plain_params: int | None = None
    data: Dataset | None = None
    rate_search: RateChoice | None = None
    forward: nn.Module = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    stepper: EagerStep = field(init=False)
    history: list[Epoch] = field(default_factory=list)
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    images: int = 0
    diverged: bool = False
    stop: bool = False

    def __post_init__(self) -> None:
        self.replace_model(self.model)

    def replace_model(self, model: nn.Module) -> None:
        """Go on with another model, with a new optimizer."""
        self.model = model
        self.forward = Compiled(model) if self.compile else model
        self.renew_optimizer()
        for callback in self.callbacks:
            callback.on_model_replaced(self)

    def renew_optimizer(self) -> None:
        """Start the optimizer, and what belongs to it, anew."""
        kind = GraphedStep if self.cuda_graph else EagerStep
        self.optimizer = make_optimizer(
            self.model, self.recipe, plain_params=self.plain_params, capturable=kind.capturable
        )
        self.stepper = self.team.stepper(kind, self.model, self.forward, self.optimizer, self.recipe)

    def terms_due(self, ahead: int = 0) -> tuple[Term, ...]:
        """The terms of the loss of the next step, or of the one `ahead` steps after it."""
        return tuple(term for term in self.terms if (self.step + ahead) % term.period == 0)

    def in_force(self) -> dict[str, Any]:
        """How the steps were computed, as it was."""
        return {"compile": self.compile, "cuda_graph": self.cuda_graph, **self.stepper.in_force()}


def fit(training: Training) -> Training:
    """Train from wherever `training` stands until the recipe's last epoch.

    The end comes earlier where the loss is no longer finite (`diverged`) or a callback asks for it (`stop`).
    """
    try:
        return _fit(training)
    finally:
        for callback in training.callbacks:
            callback.close()


def _fit(training: Training) -> Training:
    for callback in training.callbacks:
        callback.on_train_start(training)
    while training.epoch < training.recipe.epochs and not (training.diverged or training.stop):
        for callback in training.callbacks:
            callback.on_epoch_start(training)
        train = _train_epoch(training)
        if training.stop:
            break
        if training.recipe.batch_norm == "recalibrated":
            shares = training.team.shares(training.train_batches)(training.epoch)
            recalibrate(training.model, shares, training.recipe.precision, training.team.whole_batch)
        test_loss, test_top1 = _evaluate(training, training.test_batches)
        val_loss, val_top1 = None, None
        if training.validation_batches is not None:
            val_loss, val_top1 = _evaluate(training, training.validation_batches)
        losses = [train.loss, test_loss] if val_loss is None else [train.loss, test_loss, val_loss]
        # a step that fp16 skips for gradients out of range is no divergence; the loss says what the network does
        training.diverged = not all(map(math.isfinite, losses)) or training.stepper.scale_is_lost()
        last_batch = training.batches_per_epoch - 1
        training.epoch += 1
        training.history.append(
            Epoch(
                epoch=training.epoch,
                learning_rate=learning_rate(training.recipe, training.epoch - 1, last_batch, last_batch + 1),
                train_loss=_finite(train.loss),
                train_top1=train.top1,
                penalty=_finite(train.penalty),
                test_loss=_finite(test_loss),
                test_top1=test_top1,
                val_loss=None if val_loss is None else _finite(val_loss),
                val_top1=val_top1,
            )
        )
        for callback in training.callbacks:
            callback.on_epoch_end(training)
        if training.team.agree(training.stop):
            training.stop = True
    for callback in training.callbacks:
        callback.on_train_end(training)
    return training


def _train_epoch(training: Training) -> Metrics:
    started = time.perf_counter()
    metrics = training.loop.train_epoch(training)
    training.seconds += time.perf_counter() - started
    return metrics


def _evaluate(training: Training, batches: Batches) -> tuple[float, float]:
    try:
        return training.loop.evaluate(training, batches)
    except Exception as error:
        error.add_note(EVALUATING)
        raise


def evaluate(
    forward: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], precision: str = "fp32"
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy in percent over the batches, in eval mode.

    Args:
        forward: the network, compiled or not.
        precision: the recipe's, at which the forward pass runs.
    """
    sums, samples = evaluation_sums(forward, batches, precision)
    return _means((*sums.tolist(), samples))


def _means(sums: tuple[float, ...]) -> tuple[float, float]:
    loss_sum, right, samples = sums
    return loss_sum / samples, 100 * right / samples


def evaluation_sums(forward: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], precision: str) -> tuple[Tensor, int]:
    """(sum of cross-entropies, number correct) as float64 (2,) on the device, and the number of samples."""
    forward.eval()
    samples = 0
    totals: list[Tensor] = []  # on the device until all batches are done
    for x, y in batches:
        with torch.inference_mode():
            with autocast(precision, x.device.type):
                logits = forward(x)
            loss = F.cross_entropy(logits.float(), y, reduction="sum")
            totals.append(torch.stack([loss.double(), (logits.argmax(1) == y).sum().double()]))
        samples += len(y)
    return torch.stack(totals).sum(0) if totals else torch.zeros(2, dtype=torch.float64, device="cpu"), samples


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
