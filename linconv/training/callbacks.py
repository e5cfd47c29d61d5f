"""Callbacks of the training loop: progress, the sparse schedule, checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from linconv.config import SparsityScheduleOptions
from linconv.layers import SparsitySchedule
from linconv.results import EarlierProcess
from linconv.stopping import StopRequested
from linconv.training.checkpoint import save_checkpoint
from linconv.training.engine import Callback, Training

log = logging.getLogger("linconv")


class SparsityCallback(Callback):
    """Advances the sparse schedule with each training step, and never otherwise."""

    def __init__(self, options: SparsityScheduleOptions) -> None:
        self._options = options

    def on_model_replaced(self, training: Training) -> None:
        self.schedule = SparsitySchedule(training.model, **self._options.model_dump())

    def on_step_end(self, training: Training) -> None:
        self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        return self.schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.schedule.load_state_dict(state)


class BestEpoch(Callback):
    """Keeps the model of the epoch with the highest accuracy on the validation part, the earliest of several."""

    def __init__(self) -> None:
        self.epoch, self.top1 = 0, -1.0
        self.model: dict[str, Tensor] = {}

    def on_epoch_end(self, training: Training) -> None:
        top1 = training.history[-1].val_top1
        if top1 is not None and top1 > self.top1:
            self.epoch, self.top1 = training.epoch, top1
            self.model = {name: value.detach().clone() for name, value in training.model.state_dict().items()}

    def on_model_replaced(self, training: Training) -> None:
        self.epoch, self.top1, self.model = 0, -1.0, {}

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "top1": self.top1, "model": self.model}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.top1, self.model = state["epoch"], state["top1"], state["model"]


class LogLines(Callback):
    """One plain line per epoch to the log."""

    def on_train_start(self, training: Training) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, training: Training) -> None:
        seconds, self._started = time.perf_counter() - self._started, time.perf_counter()
        last = training.history[-1]
        penalty = f"  penalty {_number(last.penalty)}" if training.terms else ""
        validation = ""
        if last.val_top1 is not None:
            validation = f"  val loss {_number(last.val_loss)}  top-1 {last.val_top1:.2f} %"
        log.info(
            "epoch %d/%d  train loss %s  top-1 %.2f %%%s%s  test loss %s  top-1 %.2f %%  (%.1f s)",
            last.epoch,
            training.recipe.epochs,
            _number(last.train_loss),
            last.train_top1,
            penalty,
            validation,
            _number(last.test_loss),
            last.test_top1,
            seconds,
        )


class ProgressBar(Callback):
    """A bar over all steps on a terminal, with the last epoch's loss and accuracy."""

    only_watches = True

    def __init__(self, title: str, console: Console) -> None:
        self._progress = Progress(
            TextColumn(title),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
        )

    def on_train_start(self, training: Training) -> None:
        total = training.recipe.epochs * training.batches_per_epoch
        self._task = self._progress.add_task("", total=total, completed=training.step, state="")
        self._progress.start()

    def on_step_end(self, training: Training) -> None:
        self._progress.advance(self._task)

    def on_epoch_end(self, training: Training) -> None:
        last = training.history[-1]
        state = (
            f"epoch {last.epoch}/{training.recipe.epochs}  loss {_number(last.train_loss)}  "
            f"test top-1 {last.test_top1:.2f} %"
        )
        self._progress.update(self._task, state=state)

    def close(self) -> None:
        self._progress.stop()


_NO_SETTINGS = ("asked", "cuda_graphs")  # what was asked for, and a count that begins at 0 in every process


class ProcessLog(Callback):
    """Which processes trained: where each stopped, how long it took, on what and with which settings.

    Args:
        state: of this process: all of an `EarlierProcess` but `epochs` and `seconds`.
    """

    def __init__(self, state: Callable[[Training], dict[str, Any]]) -> None:
        self.describe = state
        self._started = time.perf_counter()
        self.earlier: list[EarlierProcess] = []
        self._current: EarlierProcess | None = None

    @property
    def seconds(self) -> float:
        """The age of this process' log."""
        return time.perf_counter() - self._started

    def on_epoch_end(self, training: Training) -> None:
        seconds = round(self.seconds, 3)
        self._current = EarlierProcess(epochs=training.epoch, seconds=seconds, **self.describe(training))

    def state_dict(self) -> dict[str, Any]:
        done = [*self.earlier, *([self._current] if self._current else [])]
        return {"processes": [process.model_dump() for process in done]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.earlier = [EarlierProcess.model_validate(process) for process in state["processes"]]

    def on_train_start(self, training: Training) -> None:
        """Say what is another than it was: only on one machine with the same settings are the bits the same."""
        if not self.earlier:
            return
        before, now = self.earlier[-1], self.describe(training)
        changes = [
            f"{name} {was.get(name)} -> {is_now.get(name)}"
            for was, is_now in (
                *(({name: getattr(before, name)}, {name: now[name]}) for name in ("device", "processes")),
                *((getattr(before, part), now[part]) for part in ("hardware", "versions", "numerics")),
            )
            for name in dict.fromkeys([*was, *is_now])
            if was.get(name) != is_now.get(name) and name not in _NO_SETTINGS
        ]
        if changes:
            log.warning(
                "the first %d epochs were trained otherwise, so the bits may differ from those of a run in one go: %s",
                before.epochs,
                ", ".join(changes),
            )


class CheckpointCallback(Callback):
    """Saves the training after every epoch; after the last as well, since writing the result can be interrupted.

    Args:
        every_seconds: epochs that end sooner after the last checkpoint are not saved, except the last epoch and one
            after which the training stops.
    """

    def __init__(self, folder: Path, identity: str, every_seconds: float = 0.0) -> None:
        self._folder, self._identity, self._every = folder, identity, every_seconds
        self._saved = time.monotonic()

    def on_epoch_end(self, training: Training) -> None:
        training.team.from_first(lambda: self._save_if_due(training))

    def _save_if_due(self, training: Training) -> None:
        last = training.epoch == training.recipe.epochs or training.diverged or training.stop
        if last or time.monotonic() - self._saved >= self._every:
            save_checkpoint(self._folder, training, self._identity)
            self._saved = time.monotonic()


class TrainingStoppedError(StopRequested):
    """A signal or a callback stopped a training; called again, it continues after the last epoch saved."""


def _number(value: float | None) -> str:
    return "nan" if value is None else f"{value:.4f}"
