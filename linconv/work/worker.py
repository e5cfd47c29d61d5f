"""A worker: trains the runs that nobody has trained or is training, on a GPU several side by side.

Any number of workers may have the same jobs, on machines that share the folder of results: each run is taken under
the lock of its folder.

A small network does not fill a GPU. Runs side by side have a thread and a CUDA stream each. One thread at a time runs
Python and draws random numbers (`Turns`); a thread that waits for its stream lets the others go on, so that each run
computes what it computes alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from linconv.config import Config, ResolvedRun, RunKey
from linconv.config.errors import UserError, explain_os_error
from linconv.data import Dataset
from linconv.results import remove_leftovers
from linconv.results.run_folder import InUseError, locked, remove_checkpoints
from linconv.runner import describe_process, finish_run
from linconv.stopping import deferred, listening
from linconv.training.callbacks import ProcessLog, TrainingStoppedError
from linconv.training.device_loop import DeviceLoop
from linconv.training.engine import Callback, Loop, Training
from linconv.training.graphs import CudaCapture, Rerun
from linconv.training.numerics import check_device, set_numerics
from linconv.training.run import load_data, train
from linconv.work.jobs import Done, Job, JobOutcome, groups, has_dropout, is_done
from linconv.work.turns import AfterEachStep, Turns, TurnsOfPython

log = logging.getLogger("linconv")
CHECKPOINT_SECONDS = 20.0
PROGRESS_SECONDS = 30.0


class StopWhen(Callback):
    """Stops a training when its worker ends; it comes before the callback that saves checkpoints.

    A short epoch ends first, so that it is saved. One that has taken `CHECKPOINT_SECONDS` ends after the step in
    progress: who asks a process to stop kills it before long. No epoch begins for which the time is too short, as far
    as the one before tells.
    """

    only_watches = True

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def on_epoch_start(self, training: Training) -> None:
        self._began = time.monotonic()

    def on_step_end(self, training: Training) -> None:
        if time.monotonic() - self._began > CHECKPOINT_SECONDS and self._worker.ends():
            training.stop = True

    def on_epoch_end(self, training: Training) -> None:
        self._worker.stop |= time.monotonic() - self._began > self._worker.seconds_left
        training.stop = training.epoch < training.recipe.epochs and self._worker.ends()


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


@dataclass
class Worker:
    """Trains jobs on one device until none is left that no other process has, or `budget_seconds` are over.

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
        """Train the jobs in their order; SIGTERM and SIGINT end it after the epochs in progress, or in long ones."""
        with listening(), deferred(self._end):
            self._pass_over(jobs)
            # what another process had at first may have been left by it
            elsewhere = {(done.experiment, done.key) for done in self.done if done.outcome == "elsewhere"}
            left = [job for job in jobs if (job.run.experiment, job.run.key) in elsewhere and not is_done(job)]
            tried = {(job.run.experiment, job.run.key) for job in left}
            self.done = [done for done in self.done if (done.experiment, done.key) not in tried]
            self._pass_over(left)
            return self.done

    def _pass_over(self, jobs: Sequence[Job]) -> None:
        for group in groups(jobs):
            self._work_on(deque(group))

    def _end(self) -> None:
        self.stop = True

    def ends(self) -> bool:
        """Whether it was asked to end, or its time is over."""
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
                outcome: JobOutcome = "no time"
                detail = ""
                if not self.ends():
                    outcome, detail = self._attempt(job, count)
                seconds = round(time.monotonic() - began, 1)
                self.done.append(Done(job.run.experiment, job.run.key, outcome, seconds, detail))
                if outcome not in ("no time", "elsewhere"):
                    log.info("%s: %s after %.1f s %s", job.run.key, outcome, seconds, detail)
                    with suppress(OSError):  # such as a full disk, which may be why the run failed
                        job.note(f"error: {detail}" if outcome == "failed" else f"outcome: {outcome}")

    def _attempt(self, job: Job, count: int) -> tuple[JobOutcome, str]:
        try:
            with locked(job.folder, wait=False):
                if is_done(job):  # by another worker, since the jobs were listed
                    return "elsewhere", ""
                self._perform(job, count)
        except TrainingStoppedError as stopped:
            return "stopped", str(stopped).partition(";")[0]
        except InUseError as busy:
            return "elsewhere", str(busy)
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
        callbacks = [StopWhen(self), AfterEachStep(self._turns)]  # always both: a checkpoint fits both devices
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
        key = (run.dataset, run.split, run.imagefolder, run.validation, config.data_folder)
        if key not in self._data:
            self._data[key] = load_data(run, config, self.device)
            if self.device == "cuda":
                torch.cuda.synchronize()  # other streams read it
        return self._data[key]
