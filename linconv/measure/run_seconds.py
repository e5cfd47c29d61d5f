"""How long the parts of a run take here, from a few calls on random images. Each kind of step is timed once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from linconv.catalogue.datasets import DatasetInfo
from linconv.config import Config, ResolvedRun
from linconv.config.steps import StepKind, definitions, step_kinds
from linconv.data.dataset import Dataset, input_size
from linconv.measure.redundancy import FilterBank, filter_banks, redundancy
from linconv.measure.timing import synchronise
from linconv.training.engine import Training
from linconv.training.numerics import check_device, set_numerics
from linconv.training.run import EVALUATION_BATCH, prepare

FEW = 2  # images of the first call; batch normalization needs two
STEP_SECONDS, EVALUATION_SECONDS = 0.4, 0.15  # a call that would take longer is timed on fewer images
LEAST_SECONDS, LEAST_CALLS = 0.2, 3  # of what is timed, after one call that is not
LONG_SECONDS = 0.4  # after which fewer calls are enough
BANK_SECONDS = 0.1  # filters that take longer than those are scaled from them

# Two values: seconds that pass while the machine is as busy as now, and seconds of the processor, all threads together.
Seconds = np.ndarray


class Parts(NamedTuple):
    """The time of a training step, to evaluate an image, to build the network, and to describe all of its filters."""

    step: Seconds
    image: Seconds
    prepared: Seconds
    filters: Seconds


class Timer:
    """Times what runs consist of, and remembers each part by what decides its time.

    Args:
        config: for the number of threads and the layout of the memory.
        device: "cpu" or "cuda", already reserved.
        tell: told the number and the run of the next kind of step.
    """

    def __init__(self, config: Config, device: str, tell: Callable[[int, str], None] = lambda number, what: None):
        self.config, self.device, self.tell = config, device, tell
        self._kinds: dict[StepKind, Parts] = {}
        self._terms: dict[Any, Seconds] = {}
        self._batches: dict[Any, tuple[Seconds, Seconds]] = {}
        self._banks: dict[tuple[int, ...], Seconds] = {}

    def parts(self, run: ResolvedRun, info: DatasetInfo) -> Parts:
        """The parts of a run; one with a warm start is in part one of the plain network."""
        found = [
            self._parts_of(run.model_copy(update={"definition": definition}), kind, info)
            for definition, kind in zip(definitions(run.definition), step_kinds(run), strict=True)
        ]
        share = run.definition.warm_start
        if share is None:
            return found[0]
        return Parts(*(share * before + (1 - share) * after for before, after in zip(*found, strict=True)))

    def _parts_of(self, run: ResolvedRun, kind: StepKind, info: DatasetInfo) -> Parts:
        terms = kind.architecture, run.definition, kind.precision, kind.channels
        batches = _facts(info), kind.batch_size, run.augment
        if not (kind in self._kinds and terms in self._terms and batches in self._batches):
            check_device(self.config, run.recipe, self.device)
            set_numerics(self.config.threads, precision=run.recipe.precision, deterministic=self.config.deterministic)
            began = clocks()
            data = random_data(info, run.recipe.batch_size, self.device)
            training = prepare(run, data, self.device, channels_last=self.config.channels_last)
            prepared = clocks() - began
            if kind not in self._kinds:
                self.tell(len(self._kinds) + 1, f"{run.dataset}/{run.architecture}/{run.variant}")
                self._kinds[kind] = self._timed(training, prepared, info)
            if terms not in self._terms:
                self._terms[terms] = self._time_of_terms(training)
            if batches not in self._batches:
                self._batches[batches] = self._time_of_batches(training)
        step, image = self._batches[batches]
        found = self._kinds[kind]
        return found._replace(step=found.step + self._terms[terms] + step, image=found.image + image)

    def _timed(self, training: Training, prepared: Seconds, info: DatasetInfo) -> Parts:
        """The parts of a run, without loss terms and batches."""
        x, y = next(iter(training.train_batches(0)))
        tested, labels = next(iter(training.test_batches(0)))

        def train(images: int) -> None:
            training.stepper(x[:images], y[:images], ())

        def evaluate(images: int) -> None:
            training.loop.evaluate(training, lambda epoch: iter([(tested[:images], labels[:images])]))

        training.forward.train()
        step = seconds_of_images(train, len(x), self.device, at_most=STEP_SECONDS)
        evaluated = seconds_of_images(evaluate, len(tested), self.device, at_most=EVALUATION_SECONDS)
        shape = info.channels, input_size(info), input_size(info)
        return Parts(step, evaluated / len(tested), prepared, self._look_at(filter_banks(training.model, shape)))

    def _time_of_batches(self, training: Training) -> tuple[Seconds, Seconds]:
        """The time to make a batch to train on, and for an image of one to evaluate."""
        drawn, loaded = (
            seconds(lambda batches=batches: next(iter(batches(0))), self.device)  # type: ignore[misc]
            for batches in (training.train_batches, training.test_batches)
        )
        return drawn, loaded / len(next(iter(training.test_batches(0)))[1])

    def _time_of_terms(self, training: Training) -> Seconds:
        """What the terms add to a step, in the mean; they look at parameters, so few images do."""
        if not training.terms:
            return np.zeros(2)
        x, y = (part[:FEW] for part in next(iter(training.train_batches(0))))
        training.forward.train()
        plain, whole = (
            seconds(lambda terms=terms: training.stepper(x, y, terms), self.device)  # type: ignore[misc]
            for terms in ((), training.terms)
        )
        return np.maximum(0.0, whole - plain) / min(term.period for term in training.terms)

    def _look_at(self, banks: list[FilterBank]) -> Seconds:
        """The time to describe filters; of large ones, in proportion to the operations of their decomposition."""

        def operations(bank: FilterBank) -> int:
            n, d = bank.filters.shape
            return n * d * min(n, d)

        whole = np.zeros(2)
        scale: tuple[int, Seconds] | None = None
        for bank in sorted(banks, key=operations):
            shape = *bank.filters.shape, bank.kernel_area
            if shape not in self._banks:
                if scale is None:
                    began = clocks()
                    redundancy(bank)
                    self._banks[shape] = clocks() - began
                else:
                    self._banks[shape] = scale[1] * operations(bank) / scale[0]
            whole = whole + self._banks[shape]
            if scale is None and self._banks[shape][0] > BANK_SECONDS:
                scale = operations(bank), self._banks[shape]
        return whole


def _facts(info: DatasetInfo) -> tuple[object, ...]:
    """What the time to make a batch depends on."""
    return info.channels, info.image_size, info.crop_size, info.crop_padding, info.flip


def seconds_of_images(call: Callable[[int], object], images: int, device: str, *, at_most: float) -> Seconds:
    """The time of `call(images)`.

    A call that would take more than `at_most` seconds is not made: two smaller ones say what an image adds. The
    network's share that does not depend on the images is in both.
    """
    few = min(FEW, images)
    small = _second(lambda: call(few), device)
    if small[0] * images <= at_most * few:
        return seconds(lambda: call(images), device)
    part = min(images, max(2 * few, int(few * at_most / small[0])))
    large = _second(lambda: call(part), device)
    if part == images:
        return large
    an_image = np.clip((large - small) / (part - few), 0.0, large / part)
    whole = large + (images - part) * an_image
    # where most of the time does not depend on the images, all of them fit after all
    return _second(lambda: call(images), device) if whole[0] <= at_most else whole


def seconds(call: Callable[[], object], device: str) -> Seconds:
    """The time of one call, the mean of several after one that is not counted."""
    call()
    synchronise(device)
    began = clocks()
    for count in itertools.count(1):
        call()
        synchronise(device)
        spent = clocks() - began
        if spent[0] >= (LEAST_SECONDS if count >= LEAST_CALLS else LONG_SECONDS):
            break
    return spent / count


def _second(call: Callable[[], object], device: str) -> Seconds:
    """The time of a second call: the first one takes memory, and plans for images of this number."""
    call()
    synchronise(device)
    began = clocks()
    call()
    synchronise(device)
    return clocks() - began


def clocks() -> Seconds:
    return np.array([time.perf_counter(), time.process_time()])


def random_data(info: DatasetInfo, batch: int, device: str) -> Dataset:
    """Images without a meaning, in the shapes of a loaded data set: a batch to train on, and one to evaluate."""

    def part(count: int) -> tuple[Tensor, Tensor]:
        shape = (count, info.channels, info.image_size, info.image_size)
        images = torch.randint(256, shape, dtype=torch.uint8, device=device)
        return images, torch.randint(info.classes, (count,), device=device)

    test = EVALUATION_BATCH if input_size(info) <= 32 else batch
    content = cast("Any", None)  # nobody writes a result of this
    return Dataset(info, *part(batch), *part(test), content, torch.arange(test, device="cpu"), digest="")
