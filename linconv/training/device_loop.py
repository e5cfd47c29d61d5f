"""The training loop on a GPU: an epoch's images lie on the device, and several steps are one launch.

Shuffling, crops and flips of an epoch are made in a few launches (`BatchSource.whole`). A step then takes its batch by
a counter on the device, so that nothing comes from the host and the host waits for nothing until the epoch's end.
Consecutive steps, as many as the regularizers' cycle has, are captured as one CUDA graph. Every step computes what
`EagerStep` computes on the batches of `Loop`, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from linconv.data import BatchSource, Normalize
from linconv.training.distributed import Batches
from linconv.training.engine import Callback, Loop, Training, evaluation_sums
from linconv.training.graphs import WARM_UP, CudaCapture, Replay, Rerun, capture
from linconv.training.schedules import learning_rate
from linconv.training.step import Metrics, Term

MAX_STEPS_PER_LAUNCH = 10


class Host:
    """How a loop shares the host with the loops of other threads: here there are none."""

    def wait(self) -> None:
        """Wait until the current stream has done all it was given."""
        torch.cuda.current_stream().synchronize()

    def launching(self) -> AbstractContextManager[None]:
        """The context of launches, which block the host while the device's queue is full."""
        return nullcontext()

    def capturing(self) -> AbstractContextManager[None]:
        """The context of a capture, during which nothing may be launched."""
        return nullcontext()


class Kind(NamedTuple):
    """What distinguishes one step from another: its number of images and its terms."""

    images: int
    terms: tuple[Term, ...]


@dataclass
class _Epoch:
    """The epoch on the device: what every captured step reads. The tensors are overwritten, never replaced."""

    images: Tensor  # uint8 (n, c, h, w)
    labels: Tensor  # int64 (n,)
    rates: Tensor  # float32 (steps,)
    first: Tensor  # int64 (1,), the place of the next batch's first image
    step: Tensor  # int64 (1,), the number of the next step within the epoch


class DeviceLoop(Loop):
    """`Loop` without the host: for data sets that are in the device's memory.

    Args:
        host: shares the host with other loops.
        device_side: makes what captures steps; `Rerun` is for devices without graphs.
    """

    def __init__(self, host: Host | None = None, device_side: Callable[[], CudaCapture | Rerun] = CudaCapture) -> None:
        self._host, self._make_capture = host or Host(), device_side
        self._of: Training | None = None

    def train_epoch(self, training: Training) -> Metrics:
        source = training.train_batches
        assert isinstance(source, BatchSource)
        self._prepare(training, source)
        training.forward.train()
        done, last = 0, training.batches_per_epoch
        while done < last and not training.stop:
            kinds = self._next_kinds(training, source, done)
            if all(self._warmed.get(kind, 0) >= WARM_UP for kind in kinds):
                made = self._launch(training, source, kinds, done)
            else:
                made = kinds[:1]
                self._warmed[made[0]] = self._warmed.get(made[0], 0) + 1
                self._capture.warm_up(partial(self._steps, training, made))
            done += len(made)
            for kind in made:
                training.step += 1
                training.images += kind.images
                for callback in training.callbacks:
                    callback.on_step_end(training)
        self._host.wait()
        return training.stepper.read_metrics()

    def evaluate(self, training: Training, batches: Batches) -> tuple[float, float]:
        assert isinstance(batches, BatchSource)
        if batches not in self._evaluations:
            self._evaluations[batches] = _Evaluation(training, batches)
        sums, samples = self._evaluations[batches](self._capture, self._host)
        self._host.wait()
        loss_sum, right = sums.tolist()
        return loss_sum / samples, 100 * right / samples

    def _launch(self, training: Training, source: BatchSource, kinds: tuple[Kind, ...], done: int) -> tuple[Kind, ...]:
        """Replay these steps, and again as often as they come in a row; the steps that were made."""
        if kinds not in self._replays:
            with self._host.capturing():
                self._replays[kinds] = capture(self._capture, partial(self._steps, training, kinds))
        full = len(source.labels) // source.batch_size - done
        count = full // len(kinds) if 1 < len(kinds) == math.prod(self._together) else 1
        replay = self._replays[kinds]
        with self._host.launching():
            for _ in range(count):
                replay()
        return kinds * count

    def _prepare(self, training: Training, source: BatchSource) -> None:
        """Lay the epoch out on the device."""
        images, labels = source.whole(training.epoch)
        number, last = training.epoch, training.batches_per_epoch
        rates = torch.tensor(
            [learning_rate(training.recipe, number, batch, last) for batch in range(last)], device="cpu"
        )
        if self._of is not training:
            self._of = training
            self._capture = self._make_capture()
            self._normalize = Normalize(source.info, images.device)
            zero = torch.zeros(1, dtype=torch.int64, device=images.device)
            self._epoch = _Epoch(images, labels, rates.to(images.device), zero, zero.clone())
            self._warmed: dict[Kind, int] = {}
            self._replays: dict[tuple[Kind, ...], Replay] = {}
            self._evaluations: dict[BatchSource, _Evaluation] = {}
            self._together = _steps_per_launch(training)
            return
        epoch = self._epoch
        epoch.images.copy_(images)
        epoch.labels.copy_(labels)
        epoch.rates.copy_(rates)
        epoch.first.zero_()
        epoch.step.zero_()

    def _next_kinds(self, training: Training, source: BatchSource, done: int) -> tuple[Kind, ...]:
        """The next steps that one launch makes: some cycles of the terms where one begins and they fit, else one."""
        full = len(source.labels) // source.batch_size - done  # full batches left in the epoch
        cycle, cycles = self._together
        begins = training.step % cycle == 0
        count = next((n for n in (cycles * cycle, cycle) if begins and full >= n), 1)
        images = source.batch_size if full > 0 else len(source.labels) % source.batch_size
        return tuple(Kind(images, training.terms_due(ahead)) for ahead in range(count))

    def _steps(self, training: Training, kinds: tuple[Kind, ...]) -> None:
        """Consecutive steps, from wherever the counters on the device stand."""
        epoch = self._epoch
        source = training.train_batches
        assert isinstance(source, BatchSource)
        for kind in kinds:
            places = epoch.first + torch.arange(kind.images, device=epoch.first.device)
            x = self._normalize(epoch.images.index_select(0, places)).contiguous(memory_format=source.layout)
            y = epoch.labels.index_select(0, places)
            training.stepper.copy_learning_rate(epoch.rates.index_select(0, epoch.step))
            training.stepper._compute(x, y, kind.terms)
            epoch.first += kind.images
            epoch.step += 1


class _Evaluation:
    """The network over one part of the data, captured as one graph after an eager pass."""

    def __init__(self, training: Training, source: BatchSource) -> None:
        self._training, self._source = training, source
        self._images, self._labels = source.whole(0)
        self._normalize = Normalize(source.info, self._images.device)
        self._sums = torch.zeros(2, dtype=torch.float64, device=self._images.device)
        self._passes = 0
        self._replay: Replay | None = None

    def __call__(self, device_side: CudaCapture | Rerun, host: Host) -> tuple[Tensor, int]:
        self._training.forward.eval()
        self._passes += 1
        if self._passes == 1:
            device_side.warm_up(self._pass)
        else:
            if self._replay is None:
                with host.capturing():
                    self._replay = capture(device_side, self._pass)
            self._replay()
        return self._sums, len(self._labels)

    def _pass(self) -> None:
        sums, _ = evaluation_sums(self._training.forward, self._batches(), self._training.recipe.precision)
        self._sums.copy_(sums)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        size = self._source.batch_size
        for x, y in zip(self._images.split(size), self._labels.split(size), strict=True):
            yield self._normalize(x).contiguous(memory_format=self._source.layout), y


def _steps_per_launch(training: Training) -> tuple[int, int]:
    """The steps of one cycle of the regularizers, and how many cycles are one launch.

    One step where a callback has something to do after each.
    """
    watching = [c for c in training.callbacks if type(c).on_step_end is not Callback.on_step_end and not c.only_watches]
    cycle = math.lcm(*(term.period for term in training.terms))
    if watching or cycle > MAX_STEPS_PER_LAUNCH:
        return 1, 1
    return cycle, MAX_STEPS_PER_LAUNCH // cycle
