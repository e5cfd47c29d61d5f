"""What a training gave to a network: the size of its first step, and the multiply-accumulates of all its steps."""

from __future__ import annotations

import copy

import torch
from torch import nn

from linconv.config import ResolvedRun
from linconv.layers import ConvReplacement
from linconv.measure.complexity import complexity
from linconv.measure.redundancy import filter_banks
from linconv.training.change import NetworkChange
from linconv.training.engine import Training
from linconv.training.penalties import penalty_terms
from linconv.training.schedules import learning_rate
from linconv.training.step import EagerStep, make_optimizer


def first_step(
    run: ResolvedRun, training: Training, initial: nn.Module, input_shape: tuple[int, int, int]
) -> float | None:
    """The relative change |W1 - W0| / |W0| of a convolution's filters by the first step, mean over the convolutions.

    The filters are those of the plain convolution that a layer equals, or else those that the layer learns. The first
    convolution is left out. It is the step of the training itself: the same batch, rate and terms of the loss, but for
    the terms that a pruning criterion adds. None where there is no second convolution, and where several processes
    train: a batch that they share may be too large for this one.

    Args:
        initial: the network as the training begins with it; it is not changed.
        input_shape: of one image, (c, h, w).
    """
    if training.team.size > 1:
        return None
    device = next(training.model.parameters()).device
    images, labels = next(training.train_batches(0))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(run.seed)
        model = copy.deepcopy(initial).to(device).train()
        before = filter_banks(model, input_shape)
        recipe = training.recipe
        optimizer = make_optimizer(model, recipe, plain_params=training.plain_params)
        step = EagerStep(model, model, optimizer, recipe)
        step.set_learning_rate(learning_rate(recipe, 0, 0, training.batches_per_epoch))
        step(images, labels, penalty_terms(run.definition.regularizers))
        after = filter_banks(model, input_shape)
    changes = [
        float((new.filters - old.filters).norm() / old.filters.norm())
        for old, new in zip(before, after, strict=True)
        if old.position > 1 and old.filters.norm() > 0
    ]
    return sum(changes) / len(changes) if changes else None


def trained_macs(training: Training, initial: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of all steps that led to the network: forward and backward, every image of every epoch.

    Those of a network that changed while it was trained are counted before and after the change.

    Args:
        initial: the network as the training began with it.
        input_shape: of one image, (c, h, w).
    """
    assert training.data is not None
    images, epochs = len(training.data.train_labels), len(training.history)
    change = next((callback for callback in training.callbacks if isinstance(callback, NetworkChange)), None)
    first = 0 if change is None else min(change.after, epochs)
    parts = ((initial, first), (training.model, epochs - first))
    return sum(
        count * images * _training_macs(model, input_shape, training.recipe.batch_size)
        for model, count in parts
        if count
    )


def _training_macs(model: nn.Module, input_shape: tuple[int, int, int], batch_size: int) -> int:
    """Of one image, in the form that the layers are set to."""
    chosen = (m.mode for m in model.modules() if isinstance(m, ConvReplacement) and len(m.forms) > 1)
    mode = next(chosen, "auto")
    return int(getattr(complexity(model, input_shape, batch_size), f"macs_train_{mode}"))
