"""Trainings of a few steps: their data, what they leave behind, and continuing them after an interruption."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from linconv.config import ResolvedRun
from linconv.data import Dataset, load
from linconv.training.callbacks import CheckpointCallback
from linconv.training.checkpoint import CURRENT, restore_checkpoint
from linconv.training.engine import Callback, Training, fit
from linconv.training.run import prepare


def few_images() -> Dataset:
    """60 images to train on and 20 to test on."""
    whole = load("synthetic", "data")
    return part_of(whole, train=60, test=20)


def part_of(whole: Dataset, *, train: int, test: int) -> Dataset:
    """The first images of both parts, the test images in the order in which they are."""
    sizes = {"train_images": train, "train_labels": train, "test_images": test, "test_labels": test}
    first = {name: getattr(whole, name)[:size] for name, size in sizes.items()}
    parts = {}
    for part in ("train", "test"):
        classes = first[f"{part}_labels"].bincount(minlength=len(whole.content.classes)).tolist()
        counts = {"images": sum(classes), "per_class": tuple(classes)}
        parts[part] = getattr(whole.content, part).model_copy(update=counts)
    content = whole.content.model_copy(update=parts)
    return dataclasses.replace(whole, **first, content=content, test_order=torch.arange(test))


class Interrupt(Callback):
    """Stops a training after an epoch."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_epoch_end(self, training: Training) -> None:
        training.stop = training.epoch == self.after


def params(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def bits(training: Training) -> Sequence[Tensor]:
    """All numbers of the network and of the optimizer's moments."""
    moments = [v for state in training.optimizer.state.values() for v in state.values() if isinstance(v, Tensor)]
    return [*training.model.state_dict().values(), *moments]


def continued(run: ResolvedRun, data: Dataset, after: int, folder: Path, whole: Training) -> Training:
    """The training interrupted `after` an epoch and continued, which ended with the same bits as `whole`."""
    fit(prepare(run, data, "cpu", [CheckpointCallback(folder, "x"), Interrupt(after)]))
    resumed = prepare(run, data, "cpu", [Callback(), Callback()])  # in the place of those two
    assert restore_checkpoint(folder, resumed, "x") == CURRENT
    assert resumed.epoch == after
    fit(resumed)
    assert resumed.history == whole.history
    assert len(bits(resumed)) == len(bits(whole))
    assert all(map(torch.equal, bits(resumed), bits(whole)))
    return resumed
