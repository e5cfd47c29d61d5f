"""Trains what configurations still lack, within a given time; on a GPU, several runs side by side in one process.

A small network does not fill a GPU. Runs side by side have a thread and a CUDA stream each. One thread at a time runs
Python and draws random numbers (`Turns`); a thread that waits for its stream lets the others go on, so that each run
computes what it computes alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from linconv.config import Config, ResolvedRun, RunKey, load_config, plan_runs, resolve_run
from linconv.config.errors import UserError, explain_os_error
from linconv.data import Dataset
from linconv.models import build_model
from linconv.results import ResultError, RunResult, read_result, remove_leftovers
from linconv.results.commands import shown_command
from linconv.results.run_folder import InUseError, locked, remove_checkpoints
from linconv.runner import describe_process, finish_run
from linconv.stopping import deferred, listening
from linconv.training.callbacks import ProcessLog
from linconv.training.device_loop import DeviceLoop, Host
from linconv.training.engine import Callback, Loop, Training
from linconv.training.graphs import CudaCapture, Rerun
from linconv.training.numerics import check_device, set_numerics
from linconv.training.run import TrainingStoppedError, load_data, train

log = logging.getLogger("linconv")
Outcome = Literal["done", "failed", "stopped", "no time"]
CHECKPOINT_SECONDS = 20.0
PROGRESS_SECONDS = 30.0


class Job(NamedTuple):
    """A run without a result, where its result goes, and the command that trains it alone."""

    config: Config
    run: ResolvedRun
    folder: Path
    command: str


class Done(NamedTuple):
    """What became of a job; `detail` is the error of a failed one."""

    experiment: str
    key: RunKey
    outcome: Outcome
    seconds: float
    detail: str = ""


class Turns(Host):
    """One thread at a time has its turn; it gives the turn up while it waits for the device or launches.

    A capture waits until no other thread launches, since the device refuses launches during a capture.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._launches = threading.Condition()
        self._launching = 0

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Others may have their turns within the block."""
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()

    def wait(self) -> None:
        with self.given_up():
            if torch.cuda.is_available():
                super().wait()
            else:
                time.sleep(0)

    @contextmanager
    def launching(self) -> Iterator[None]:
        self._count(1)
        with self.given_up():
            try:
                yield
            finally:
                self._count(-1)

    @contextmanager
    def capturing(self) -> Iterator[None]:
        # no launch can begin meanwhile: it would need the turn, which the capturing thread has
        with self._launches:
            self._launches.wait_for(lambda: self._launching == 0)
        yield

    def _count(self, change: int) -> None:
        with self._launches:
            self._launching += change
            self._launches.notify_all()


class TurnsOfPython(Turns):
    """`Turns` for `Rerun`, whose launches are Python and need the turn."""

    @contextmanager
    def launching(self) -> Iterator[None]:
        yield


class AfterEachStep(Callback):
    """Gives the turn up after each step of a training whose steps come from the host."""

    only_watches = True

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def on_step_end(self, training: Training) -> None:
        with self._turns.given_up():
            time.sleep(0)


class StopWhen(Callback):
    """Stops a training after the epoch in progress; it comes before the callback that saves checkpoints."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self._wanted = wanted

    def on_epoch_end(self, training: Training) -> None:
        training.stop = training.epoch < training.recipe.epochs and self._wanted()


class Progress(Callback):
    """A line of the log now and then."""

    def __init__(self, key: RunKey) -> None:
        self._key, self._shown = key, time.monotonic()

    def on_epoch_end(self, training: Training) -> None:
        last = training.epoch == training.recipe.epochs
        if last or time.monotonic() - self._shown >= PROGRESS_SECONDS:
            self._shown = time.monotonic()
            top1 = training.history[-1].test_top1
            log.info("%s: epoch %d/%d, test top-1 %.2f %%", self._key, training.epoch, training.recipe.epochs, top1)


def find_jobs(configs: Sequence[Path], results: Path) -> list[Job]:
    """The runs without a result of their configuration, file by file, in the order of `_by_seed`."""
    found = []
    for path in configs:
        config = load_config(path)
        for key in _by_seed(config):
            where = ["--dataset", key.dataset, "--architecture", key.architecture, "--variant", key.variant]
            words = ["linconv", "train", str(path), *where, "--seed", str(key.seed), "--results", str(results)]
            job = Job(config, resolve_run(config, key), results / config.experiment / key.path, shown_command(words))
            if not is_done(job):
                found.append(job)
    return found


def _by_seed(config: Config) -> list[RunKey]:
    """The runs by data set and network, as listed, and within these all variants of a seed before the next seed."""

    def place(key: RunKey) -> tuple[int, int, int]:
        return config.datasets.index(key.dataset), config.architectures.index(key.architecture), key.seed

    return sorted(plan_runs(config), key=place)


def is_done(job: Job) -> bool:
    """Whether the job's result is there, whole and of its configuration."""
    try:
        return read_result(job.folder / "result.json", RunResult).config_hash == job.run.hash
    except ResultError:
        return False


@dataclass
class Worker:
    """Trains jobs on one device until none is left or `budget_seconds` are over.

    Args:
        device: "cpu" or "cuda", already reserved.
        side_by_side: runs at the same time; more than one needs a GPU, unless `device_side` is `Rerun`.
        form: the exact form that LinearConv trains in, see `linconv.training.run.train`.
        device_side: makes what captures steps, see `DeviceLoop`.
    """

    device: str
    side_by_side: int = 1
    budget_seconds: float | None = None
    form: str = "auto"
    device_side: Callable[[], CudaCapture | Rerun] = CudaCapture
    stop: bool = False
    done: list[Done] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.side_by_side > 1 and self.device != "cuda" and self.device_side is not Rerun:
            raise UserError("runs side by side in one process need a GPU; use --side-by-side 1 on a CPU")
        self._started = time.monotonic()
        self._turns = TurnsOfPython() if self.device_side is Rerun else Turns()
        self._data: dict[Any, Dataset] = {}

    @property
    def seconds_left(self) -> float:
        """Seconds until the time is over; infinite without a budget."""
        return float("inf") if self.budget_seconds is None else self.budget_seconds - (time.monotonic() - self._started)

    def work(self, jobs: Sequence[Job]) -> list[Done]:
        """Train the jobs in their order; SIGTERM and SIGINT end it after the epochs in progress."""
        with listening(), deferred(self._end):
            for group in _groups(jobs):
                self._work_on(deque(group))
            return self.done

    def _end(self) -> None:
        self.stop = True

    def _ends(self) -> bool:
        return self.stop or self.seconds_left <= 0

    def _work_on(self, queue: deque[Job]) -> None:
        first = queue[0]
        set_numerics(
            first.config.threads, precision=first.run.recipe.precision, deterministic=first.config.deterministic
        )
        count = 1 if has_dropout(first.run) else min(self.side_by_side, len(queue))
        threads = [threading.Thread(target=self._loop, args=(queue, count), name=f"run {i}") for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(1.0)  # a join without end would keep signals from the main thread

    def _loop(self, queue: deque[Job], count: int) -> None:
        stream = torch.cuda.Stream() if self.device == "cuda" else None
        with self._turns, torch.cuda.stream(stream) if stream else nullcontext():
            while queue:
                job = queue.popleft()
                began = time.monotonic()
                outcome: Outcome = "no time"
                detail = ""
                if not self._ends():
                    outcome, detail = self._attempt(job, count)
                seconds = round(time.monotonic() - began, 1)
                self.done.append(Done(job.run.experiment, job.run.key, outcome, seconds, detail))
                if outcome != "no time":
                    log.info("%s: %s after %.1f s %s", job.run.key, outcome, seconds, detail)

    def _attempt(self, job: Job, count: int) -> tuple[Outcome, str]:
        try:
            with locked(job.folder, wait=False):
                self._perform(job, count)
        except TrainingStoppedError:
            return "stopped", ""
        except InUseError as busy:
            return "stopped", str(busy)
        except Exception as error:  # one run's failure must not end the others
            if isinstance(error, OSError):
                return "failed", explain_os_error(error)
            if not isinstance(error, UserError):
                log.exception("%s", job.run.key)
            return "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return "done", ""

    def _perform(self, job: Job, count: int) -> None:
        run, folder = job.run, job.folder
        graphs = self.uses_graphs(run)
        # in single precision cuDNN's deterministic kernels are two to three times slower in channels_last (H200)
        half = run.recipe.precision in ("bf16", "fp16")
        layout = job.config.channels_last and (self.device != "cuda" or half)
        config = job.config.model_copy(update={"cuda_graph": graphs and self.device == "cuda", "channels_last": layout})
        check_device(config, run.recipe, self.device)
        remove_leftovers(folder)
        data = self._dataset(run, config)
        loop = DeviceLoop(self._turns, self.device_side) if graphs else Loop()
        how = {"runs_side_by_side": count, "form": self.form}

        def process(training: Training) -> dict[str, Any]:
            found = describe_process(training, run, config, self.device)
            return found | {"numerics": found["numerics"] | how}

        processes = ProcessLog(process)
        callbacks = [StopWhen(self._ends), AfterEachStep(self._turns)]  # always both: a checkpoint fits both devices
        training = train(
            run,
            config,
            folder,
            self.device,
            callbacks=callbacks,
            process_log=processes,
            data=data,
            loop=loop,
            show=Progress(run.key),
            checkpoint_seconds=CHECKPOINT_SECONDS,
            form=self.form,
            signals=False,
        )
        finish_run(training, run, config, folder, self.device, command=job.command, processes=processes)
        remove_checkpoints(folder)

    def uses_graphs(self, run: ResolvedRun) -> bool:
        """Whether the steps of a run are captured: on every GPU, unless the network changes while it is trained."""
        return (self.device == "cuda" or self.device_side is Rerun) and not run.definition.changed_by

    def _dataset(self, run: ResolvedRun, config: Config) -> Dataset:
        """The data set of a run on the device; runs share it."""
        key = (run.dataset, run.imagefolder, run.validation, config.data_folder)
        if key not in self._data:
            self._data[key] = load_data(run, config, self.device)
            if self.device == "cuda":
                torch.cuda.synchronize()  # other streams read it
        return self._data[key]


def _groups(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Consecutive jobs that may run side by side: the same settings of the process; networks with dropout alone."""
    group: list[Job] = []
    for job in jobs:
        if group and (_settings(job) != _settings(group[-1]) or has_dropout(job.run)):
            yield group
            group = []
        group.append(job)
    if group:
        yield group


def _settings(job: Job) -> tuple[Any, ...]:
    return (job.run.recipe.precision, job.config.threads, job.config.deterministic, has_dropout(job.run))


def has_dropout(run: ResolvedRun) -> bool:
    """Whether the network draws from the device's generator, which runs side by side would share."""
    with torch.device("meta"):
        network = build_model(run.architecture)
    return any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0 for module in network.modules())
