"""Training steps on random images, as the training loop makes them: what measurements of a step call."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from linconv.config import PRESETS, Recipe
from linconv.data import DatasetInfo, batches
from linconv.measure.timing import Call
from linconv.training.graphs import GraphedStep
from linconv.training.numerics import compiled
from linconv.training.step import EagerStep, Term, make_optimizer

BATCHES_HELD = 4  # different ones to draw from, so that a step augments and gathers as in training


def recipe_of(architecture: str, batch_size: int, precision: str = "fp32") -> Recipe:
    """The paper's recipe for a network, at that batch and precision."""
    return PRESETS["paper"][architecture].model_copy(update={"batch_size": batch_size, "precision": precision})


def kinds_of_step(terms: Sequence[Term]) -> list[tuple[tuple[Term, ...], float]]:
    """The sets of regularizers that are due together, the commonest first, each with the share of the steps it has."""
    cycle = math.lcm(*(term.period for term in terms))
    kinds = Counter(tuple(t for t in terms if number % t.period == 0) for number in range(cycle))
    return [(due, count / cycle) for due, count in kinds.most_common()]


class TrainingSteps:
    """Augmentation, forward, loss, regularizers, backward, optimizer, on batches of random images.

    Args:
        model: on the device and in the layout; it is put into train mode and trained.
        recipe: gives the batch size, the optimizer and the precision.
        input_shape: of one image, (c, h, w).
        backend: "eager", "compile" or "cuda_graph".
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        *,
        input_shape: tuple[int, int, int],
        classes: int,
        device: str,
        channels_last: bool = False,
        backend: str = "eager",
    ) -> None:
        self.model = model.train()
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        forward: Callable[[Tensor], Any] = compiled(model) if backend == "compile" else model
        graphed = backend == "cuda_graph"
        optimizer = make_optimizer(model, recipe, capturable=graphed)
        self.step = (GraphedStep if graphed else EagerStep)(model, forward, optimizer, recipe)
        self._drawn = _endless(recipe.batch_size, input_shape, classes, device)

    def draw(self) -> tuple[Tensor, Tensor]:
        """The next batch: images (n, c, h, w) as they enter the network, labels (n,)."""
        x, y = next(self._drawn)
        return x.contiguous(memory_format=self.layout), y

    def with_terms(self, due: tuple[Term, ...] = ()) -> Call:
        """A call that makes one step with these terms in the loss."""

        def call() -> None:
            self.step(*self.draw(), due)

        return call


def _endless(
    batch_size: int, input_shape: tuple[int, int, int], classes: int, device: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of random images, cropped and flipped as the paper does CIFAR-10's."""
    channels, height, width = input_shape
    count = BATCHES_HELD * batch_size
    images = torch.randint(256, (count, channels, height, width), dtype=torch.uint8, device=device)
    labels = torch.randint(classes, (count,), device=device)
    info = DatasetInfo(
        classes=classes,
        channels=channels,
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        crop_padding=4,
        flip=True,
        image_size=height,
    )
    for epoch in itertools.count():
        yield from batches(
            images, labels, batch_size=batch_size, info=info, augment=True, shuffle=True, generator_seed=(0, epoch)
        )
