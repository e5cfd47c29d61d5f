"""What an experiment will take on this machine: hours from a few timed steps, disk space, downloads.

Each kind of step (`linconv.config.steps`) is timed once, on random images, with the batches, augmentation, loss terms
and memory layout of its runs.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from linconv.catalogue.datasets import DATASETS, DatasetInfo
from linconv.config import Config, ResolvedRun, plan_runs
from linconv.data.containers import is_present
from linconv.data.errors import DataError
from linconv.data.folders import load_imagefolder
from linconv.data.registry import load
from linconv.layers import ConvReplacement
from linconv.measure.run_seconds import Parts, Seconds, Timer
from linconv.models import build_model
from linconv.training.numerics import set_numerics

RESULT_BYTES, EPOCH_BYTES, OUTCOME_BYTES = 5_000, 350, 2.2  # of result.json; of outcomes.npz for a test image


class Sizes(NamedTuple):
    """The images of a data set's parts, as a run uses them."""

    train: int
    validation: int
    test: int


class CellEstimate(NamedTuple):
    """The runs of a cell that have no result yet, and the time of a training step and of a whole run.

    `processor_seconds` of a run pass on a machine with nothing else to do, where a run has one thread.
    """

    dataset: str
    architecture: str
    variant: str
    runs: int
    step_seconds: float
    run_seconds: float
    processor_seconds: float
    result_bytes: int
    checkpoint_bytes: int


class Estimate(NamedTuple):
    """What is planned and what is missing; `downloads` in megabytes by data set; `notes` say what is left out.

    `start_seconds` is what a process takes before its first run: imports, and loading of the data that are there.
    """

    planned: int
    cells: list[CellEstimate]
    downloads: dict[str, float]
    notes: list[str]
    start_seconds: float

    @property
    def runs(self) -> int:
        """Runs without a result."""
        return sum(cell.runs for cell in self.cells)

    @property
    def seconds(self) -> float:
        """Of all missing runs, one after another."""
        return self.start_seconds + sum(cell.runs * cell.run_seconds for cell in self.cells)

    @property
    def processor_seconds(self) -> float:
        """Of the processor, for all missing runs."""
        return self.start_seconds + sum(cell.runs * cell.processor_seconds for cell in self.cells)

    @property
    def starts_seconds(self) -> float:
        """What further processes take to start, where each run is a process of its own, as in the pipeline."""
        return max(0, self.runs - 1) * self.start_seconds

    @property
    def result_bytes(self) -> int:
        """Of the result files of all missing runs."""
        return sum(cell.runs * cell.result_bytes for cell in self.cells)

    @property
    def checkpoint_bytes(self) -> int:
        """Of the checkpoints of the largest run in progress."""
        return max((cell.checkpoint_bytes for cell in self.cells), default=0)


def estimate(
    config: Config,
    missing: Sequence[ResolvedRun],
    device: str,
    tell: Callable[[int, str], None] = lambda number, what: None,
) -> Estimate:
    """Time a few steps of every kind of run that has no result yet.

    Args:
        missing: these runs, cell by cell, see `linconv.results.missing.missing_runs`.
        device: "cpu" or "cuda", already reserved.
        tell: told what is timed next, and the number of it.

    Raises:
        linconv.data.DataError: an image folder is missing or cannot be used.
    """
    data = {name: _data_of(name, config) for name in dict.fromkeys(run.dataset for run in missing)}
    start = _start_seconds(config, missing[:1], list(data))
    timer = Timer(config, device, tell)
    cells: list[CellEstimate] = []
    notes: set[str] = set()
    for _, runs in itertools.groupby(missing, key=lambda run: run.key[:3]):
        waiting = list(runs)
        run = waiting[0]
        info, sizes = data[run.dataset]
        parts = timer.parts(run, info)
        whole = _seconds_of(run, parts, sizes)
        result, checkpoint = _bytes(run, config, info, sizes)
        cell = run.dataset, run.architecture, run.variant
        cells.append(CellEstimate(*cell, len(waiting), parts.step[0], whole[0], whole[1], result, checkpoint))
        notes |= _left_out(run, info, config, device)
    return Estimate(len(plan_runs(config)), cells, _downloads(config), sorted(notes), start if cells else 0.0)


def _start_seconds(config: Config, first: Sequence[ResolvedRun], names: list[str]) -> float:
    """Processor seconds of this process once it has what a run begins with: imports, numerics, and the data at hand.

    The numerics import a part of torch, and loading may import a library of its own; both take seconds.
    """
    for run in first:
        set_numerics(config.threads, precision=run.recipe.precision, deterministic=config.deterministic)
    for name in names:
        entry = DATASETS.get(name)
        if entry and not entry.streamed and (not entry.download_mb or is_present(name, config.data_folder)):
            with contextlib.suppress(DataError):  # a run says what is wrong with them
                load(name, config.data_folder)
    return time.process_time()


def _data_of(name: str, config: Config) -> tuple[DatasetInfo, Sizes]:
    """The facts of a data set, and how many images the runs of the configuration train and evaluate."""
    folder = config.imagefolders.get(name)
    info: DatasetInfo
    if folder is None:
        info, (train, test) = DATASETS[name], DATASETS[name].images
    else:
        found = load_imagefolder(name, folder, config.data_folder)
        train, test = len(found.train_labels), len(found.test_labels)
        info = DatasetInfo(
            classes=len(found.origin.classes),
            channels=3,
            mean=(0.5,) * 3,
            std=(0.5,) * 3,
            crop_padding=folder.crop_padding,
            flip=folder.flip,
            image_size=folder.image_size,
        )
    held_out = 0 if config.validation is None else round(config.validation.share * train)
    return info, Sizes(train - held_out, held_out, test)


def _seconds_of(run: ResolvedRun, parts: Parts, sizes: Sizes) -> Seconds:
    """The time of a run, from that of its parts."""
    batches = sizes.train / run.recipe.batch_size
    steps = math.ceil(batches) if batches > 1 else batches
    held_out, evaluated = sizes.validation * parts.image, sizes.test * parts.image
    epochs = run.recipe.epochs * (steps * parts.step + held_out + evaluated)
    # the filters are looked at before and after, and every test image once more
    rest = parts.prepared + 2 * parts.filters + evaluated
    search = run.rate_search
    tries = 0.0 if search is None else search.share * len(search.factors)
    return epochs * (1 + tries) + rest


def _bytes(run: ResolvedRun, config: Config, info: DatasetInfo, sizes: Sizes) -> tuple[int, int]:
    """Bytes of the files of a finished run, and of both generations of its checkpoint until then."""
    with torch.device("meta"):
        model = build_model(
            run.architecture,
            run.definition.model_copy(update={"warm_start": None}),
            num_classes=info.classes,
            in_channels=info.channels,
        )
    params = sum(p.numel() for p in model.parameters())
    banks = [m.out_channels for m in model.modules() if isinstance(m, (nn.Conv2d, ConvReplacement))]
    kept = [banks[position - 1] for position in run.correlation_layers if position <= len(banks)]
    result = RESULT_BYTES + EPOCH_BYTES * run.recipe.epochs + OUTCOME_BYTES * sizes.test + sum(n * n for n in kept)
    state = {"adam": 3, "sgd": 2 if run.recipe.momentum else 1}[run.recipe.optimizer]
    return round(result + 4 * params * config.keep_weights), 2 * state * 4 * params


def _downloads(config: Config) -> dict[str, float]:
    """Megabytes of the archives that are fetched, by data set; not of those that are there in any form."""
    return {
        name: megabytes
        for name in config.datasets
        if name in DATASETS and (megabytes := DATASETS[name].download_mb) and not is_present(name, config.data_folder)
    }


def _left_out(run: ResolvedRun, info: DatasetInfo, config: Config, device: str) -> set[str]:
    """What the estimate of a run does not know."""
    notes = set()
    if run.definition.pruning is not None:
        notes.add("pruned networks are counted as the plain network that they begin as")
    folder = config.imagefolders.get(run.dataset)
    if folder.stream is True if folder else DATASETS[run.dataset].streamed:
        notes.add("the time to decode streamed images is not in it")
    if device == "cuda":
        notes.add("steps are timed one by one; `linconv run` and `linconv work` capture them, which is faster")
    return notes
