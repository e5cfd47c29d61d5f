"""Pruning within the epochs of a recipe: until the pruning step, the plain network; after it, what it left."""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from linconv.config import Pruning
from linconv.pruning import Cut, cut_channels, make_criterion, make_plan
from linconv.training.change import Adapt, NetworkChange, epochs_before
from linconv.training.engine import Training
from linconv.training.step import Term

log = logging.getLogger("linconv")
BATCHES = 4  # of training images, for the criteria that look at activations
WHOLE_TRAINING = 1.0  # as `at`: no epoch is left after the pruning step


class PruningCallback(NetworkChange):
    """Prepares a plain network for a criterion and cuts its channels before the epoch that the options say.

    Moments of the optimizer are cut like their parameters. A checkpoint written after the pruning step holds the
    smaller network and which channels it kept.

    Args:
        model: the plain network, changed in place where the criterion trains with something else.
        input_shape: of one image, (c, h, w).
        options: the criterion and the budget.
        epochs: of the whole training.

    Raises:
        UserError: the network cannot be pruned so, or the epochs leave none to train what pruning leaves.
    """

    def __init__(self, model: nn.Module, input_shape: tuple[int, int, int], options: Pruning, epochs: int) -> None:
        at_the_end = options.at == WHOLE_TRAINING
        super().__init__(epochs if at_the_end else epochs_before(options.at, epochs, "the cut of pruning"))
        self.plan = make_plan(model, input_shape, options.params)
        self.criterion = make_criterion(self.plan, options)
        self.criterion.attach(model)

    @property
    def kept(self) -> tuple[Tensor, ...] | None:
        """The channels of each group, once they are cut."""
        return self.choice

    @property
    def terms(self) -> list[Term]:
        """What the criterion adds to the loss."""
        weight = self.criterion.penalty_weight
        return [Term(self.criterion.penalty, weight, 1)] if weight else []

    def on_epoch_start(self, training: Training) -> None:
        super().on_epoch_start(training)
        if self.kept is None:
            self.criterion.at_epoch(training.model, training.epoch, self.after)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"criterion": self.criterion.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.criterion.load_state_dict(state["criterion"])

    def choose(self, training: Training) -> tuple[Tensor, ...]:
        pieces = training.team.pieces(lambda epoch: itertools.islice(training.train_batches(epoch), BATCHES))

        def images() -> Iterator[Tensor]:
            return (x for x, _ in pieces(0))

        return self.criterion.choose(training.model, images)

    def changed(self, model: nn.Module, choice: tuple[Tensor, ...]) -> tuple[nn.Module, Adapt]:
        small = copy.deepcopy(model)
        self.criterion.fold(small)
        cut: Cut = cut_channels(small, self.plan.groups, choice)
        return small, cut.of

    def after_change(self, training: Training, before: int) -> None:
        self.criterion.after_cut()
        after = sum(p.numel() for p in training.model.parameters())
        log.info("pruning: cut after epoch %d, %d of %d parameters left", training.epoch, after, before)
