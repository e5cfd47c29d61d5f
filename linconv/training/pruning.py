"""Pruning within the epochs of a recipe: until the cut, the plain network; after it, what it left."""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from linconv.config import Pruning
from linconv.config.errors import UserError
from linconv.pruning import Cut, cut_channels, make_criterion, make_plan
from linconv.training.engine import Callback, Training
from linconv.training.step import Term

log = logging.getLogger("linconv")
BATCHES = 4  # of training images, for the criteria that look at activations
WHOLE_TRAINING = 1.0  # as `at`: no epoch is left after the cut


class PruningCallback(Callback):
    """Prepares a plain network for a criterion and cuts its channels before the epoch that the options say.

    Moments of the optimiser are cut like the parameters they belong to. A checkpoint written after the cut holds the
    smaller network and which channels it kept.

    Args:
        model: the plain network, changed in place where the criterion trains with something else.
        input_shape: of one image, (c, h, w).
        options: the criterion and the budget.
        epochs: of the whole training.

    Raises:
        UserError: the network cannot be pruned so, or the epochs leave none to train what the cut leaves.
    """

    def __init__(self, model: nn.Module, input_shape: tuple[int, int, int], options: Pruning, epochs: int) -> None:
        if options.at < WHOLE_TRAINING and epochs < 2:
            raise UserError(f"pruning: {epochs} epoch leaves none after the cut; train for 2 or more")
        last = epochs if options.at == WHOLE_TRAINING else epochs - 1
        self.cut_after = min(last, max(1, round(options.at * epochs)))  # epochs
        self.plan = make_plan(model, input_shape, options.params)
        self.criterion = make_criterion(self.plan, options)
        self.criterion.attach(model)
        self.kept: tuple[Tensor, ...] | None = None  # the channels of each group, once they are cut

    @property
    def terms(self) -> list[Term]:
        """What the criterion adds to the loss."""
        weight = self.criterion.penalty_weight
        return [Term(self.criterion.penalty, weight, 1)] if weight else []

    def on_epoch_start(self, training: Training) -> None:
        if self.kept is not None:
            return
        if training.epoch >= self.cut_after:
            self._cut(training)
        else:
            self.criterion.at_epoch(training.model, training.epoch, self.cut_after)

    def on_train_end(self, training: Training) -> None:
        if self.kept is None and training.epoch == self.cut_after and not (training.diverged or training.stop):
            self._cut(training)

    def state_dict(self) -> dict[str, Any]:
        return {"kept": self.kept, "criterion": self.criterion.state_dict()}

    def before_load(self, training: Training, state: dict[str, Any]) -> None:
        if state["kept"] is not None:
            training.replace_model(self._smaller(training.model, state["kept"])[0])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.kept = state["kept"]
        self.criterion.load_state_dict(state["criterion"])

    def _cut(self, training: Training) -> None:
        def images() -> Iterator[Tensor]:
            return (x for x, _ in itertools.islice(training.train_batches(0), BATCHES))

        self.kept = self.criterion.choose(training.model, images)
        before, moments = sum(p.numel() for p in training.model.parameters()), _moments(training)
        scaler = training.stepper.scaler.state_dict()
        small, cut = self._smaller(training.model, self.kept)
        training.replace_model(small)
        training.stepper.scaler.load_state_dict(scaler)
        _set_moments(training, moments, cut)
        self.criterion.after_cut()
        after = sum(p.numel() for p in small.parameters())
        log.info("pruning: cut after epoch %d, %d of %d parameters left", training.epoch, after, before)

    def _smaller(self, model: nn.Module, kept: tuple[Tensor, ...]) -> tuple[nn.Module, Cut]:
        small = copy.deepcopy(model)
        self.criterion.fold(small)
        return small, cut_channels(small, self.plan.groups, kept)


def _moments(training: Training) -> dict[str, dict[str, Any]]:
    """The optimiser's state by the names that parameters have in the plain network."""
    state = training.optimizer.state
    return {_plain_name(name): state[p] for name, p in training.model.named_parameters() if p in state}


def _plain_name(name: str) -> str:
    """`conv1.parametrizations.weight.original` is the parameter `conv1.weight`."""
    return name.replace("parametrizations.", "").removesuffix(".original")


def _set_moments(training: Training, moments: dict[str, dict[str, Any]], cut: Cut) -> None:
    for name, parameter in training.model.named_parameters():
        if name in moments:
            training.optimizer.state[parameter] = {
                key: cut.of(name, value).clone() if isinstance(value, Tensor) and value.dim() else value
                for key, value in moments[name].items()
            }
