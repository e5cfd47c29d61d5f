"""One run in several processes: what they share, what they agree on, and what only the first of them does.

Every process holds the whole network and trains on its share of every batch. What one process would compute from the
whole batch (gradient, batch normalization, dropout, metrics) is computed from all shares, see
`linconv.training.shared_step`: the number of processes changes a result by rounding only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from linconv.config import Config, ResolvedRun
from linconv.config.errors import UserError
from linconv.data import BatchSource, Share
from linconv.launch import launch
from linconv.stopping import StopRequested, deferred
from linconv.training.meeting import meet
from linconv.training.shared_step import Part, SharedStep, WholeBatch
from linconv.training.step import EagerStep

Batches = Callable[[int], Iterator[tuple[Tensor, Tensor]]]
T = TypeVar("T")
IGNORED = -100  # the label that the cross-entropy of torch leaves out
# The first process may decode images, or measure what it has trained, for that long while the others wait for it.
PATIENCE = timedelta(hours=6)
_STOPPED = "linconv-stopped"


class ProcessLostError(UserError):
    """Another process of the run has ended, or failed."""

    exit_code = 1


class Team:
    """The processes that train one run. Here it is one: nothing is shared, and nothing is waited for.

    Attributes:
        size: the number of processes.
        is_first: whether this one writes the files.
        asked: whether a request to stop has reached this process and is not yet agreed on.
    """

    size = 1
    is_first = True
    asked = False

    def shares(self, batches: Batches, *, evaluates: bool = False) -> Batches:
        """The part of each of the batches that this process takes.

        Args:
            evaluates: an empty share may be left out; else one that does not count stands in its place.
        """
        return batches

    def pieces(self, batches: Batches) -> Batches:
        """The batches cut into the shares of all processes, for one that does alone what needs no whole batch.

        It then needs no more memory than for its share, and computes each image as the process with that share does.
        """
        return batches

    def images(self, y: Tensor) -> int:
        """The images of the whole batch of which `y` is the current share."""
        return len(y)

    def stepper(self, kind: type[EagerStep], *arguments: Any) -> EagerStep:
        """What trains on one batch; `kind` where there is one process."""
        return kind(*arguments)

    def whole_batch(self) -> AbstractContextManager[object]:
        """The context in which a network in training mode sees the statistics of whole batches."""
        return nullcontext()

    def total(self, *values: float) -> tuple[float, ...]:
        """The sums over all processes."""
        return values

    def request(self, stop: Callable[[], None]) -> None:
        """A signal asks for an end: `stop` where there is one process, else it waits for `agree`."""
        stop()

    def agree(self, stop: bool) -> bool:
        """Whether any process wants to stop; all of them get the same answer at the same step."""
        return stop

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process; only that one calls it. Where it fails, all processes end."""
        return make()

    @contextmanager
    def in_first(self, enter: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """Hold a context in the first process, while all processes do what is in the block."""
        with ExitStack() as stack:
            self.from_first(lambda: stack.enter_context(enter()))
            yield

    def require_same(self, facts: Mapping[str, str]) -> None:
        """Check that these are the same in all processes.

        Raises:
            UserError: they are not.
        """


class SeveralProcesses(Team):
    """A team of two or more.

    Args:
        host: a group of all processes whose collectives run on the CPU, for all but gradients and statistics.
        store: in which a process says why it leaves.
    """

    def __init__(self, rank: int, size: int, host: dist.ProcessGroup, store: dist.Store) -> None:
        self.size, self.is_first = size, rank == 0
        self._share, self._host, self._store = Share(rank, size), host, store
        self.part = Part(0, 1, 1, 1)

    def shares(self, batches: Batches, *, evaluates: bool = False) -> Batches:
        def epoch_shares(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
            for whole, x, y in self._cut(batches, epoch):
                here, counted = self._share.of_batch(whole), self._share.counted(whole)
                self.part = Part(here.start, here.stop, counted, whole)
                if counted:
                    yield x, y
                elif not evaluates:
                    yield x, torch.full_like(y, IGNORED)

        return epoch_shares

    def _cut(self, batches: Batches, epoch: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """The number of images of every batch, and the share of this process."""
        if isinstance(batches, BatchSource):  # only what is needed is decoded and moved
            n, size = len(batches.labels), batches.batch_size
            wholes = (min(size, n - start) for start in range(0, n, size))
            for whole, (x, y) in zip(wholes, replace(batches, share=self._share)(epoch), strict=True):
                yield whole, x, y
        else:
            for x, y in batches(epoch):
                here = self._share.of_batch(len(y))
                yield len(y), x[here], y[here]

    def pieces(self, batches: Batches) -> Batches:
        def epoch_pieces(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
            for x, y in batches(epoch):
                for share in (Share(rank, self.size) for rank in range(self.size)):
                    if share.counted(len(y)):
                        here = share.of_batch(len(y))
                        yield x[here].clone(), y[here]  # aligned in memory as a share is: the same bits come out

        return epoch_pieces

    def images(self, y: Tensor) -> int:
        return self.part.whole

    def stepper(self, kind: type[EagerStep], *arguments: Any) -> EagerStep:
        return SharedStep(self, *arguments)

    def whole_batch(self) -> AbstractContextManager[object]:
        return WholeBatch(self.part)

    def total(self, *values: float) -> tuple[float, ...]:
        return tuple(self._reduced(values, dist.ReduceOp.SUM))

    def request(self, stop: Callable[[], None]) -> None:
        self.asked = True

    def agree(self, stop: bool) -> bool:
        return bool(self._reduced([stop or self.asked], dist.ReduceOp.MAX)[0])

    def _reduced(self, values: Any, operation: Any) -> list[float]:
        together = torch.tensor(values, dtype=torch.float64, device="cpu")
        with deferred():
            dist.all_reduce(together, operation, group=self._host)
        return together.tolist()

    def from_first(self, make: Callable[[], T]) -> T:
        failure: BaseException | None = None
        outcome: list[Any] = [None, None, None]
        if self.is_first:
            try:
                outcome = [make(), None, None]
            except BaseException as error:
                failure = error
                code = error.exit_code if isinstance(error, UserError) else 1
                outcome = [None, code, isinstance(error, StopRequested)]
        with deferred():
            dist.broadcast_object_list(outcome, src=0, group=self._host)
        if failure is not None:
            raise failure
        value, code, stopped = outcome
        if stopped:
            raise StopRequested
        if code is not None:
            lost = ProcessLostError("the first process of this run failed; its own message says why")
            lost.exit_code = code
            raise lost
        return value

    def require_same(self, facts: Mapping[str, str]) -> None:
        gathered: list[Any] = [None] * self.size
        with deferred():
            dist.all_gather_object(gathered, dict(facts), group=self._host)
        for name in facts:
            if len(found := sorted({str(other.get(name)) for other in gathered})) > 1:
                raise UserError(f"the processes of this run differ in {name}: {', '.join(found)}; start all alike")

    def say_stopped(self) -> None:
        """Tell the others, who will miss this process, that it was asked to stop."""
        with suppress(RuntimeError):  # who keeps the store may have left
            self._store.set(_STOPPED, "1")

    def was_stopped(self) -> bool:
        """Whether a process that left was asked to."""
        with suppress(RuntimeError):
            return self.asked or bool(self._store.check([_STOPPED]))
        return self.asked


@contextmanager
def joined(device: str) -> Iterator[Team]:
    """All processes that were started for one run; this one alone unless torchrun or its like started it.

    Args:
        device: "cpu" or "cuda", of which each process has one of its own.

    Raises:
        ProcessLostError: in the block, another process ended or could not be reached.
        StopRequested: so did one that had been asked to stop.
    """
    started = launch()
    if started.processes == 1:
        yield Team()
        return
    team: SeveralProcesses | None = None
    try:
        with deferred():
            found = meet(started.processes, "nccl" if device == "cuda" else "gloo", PATIENCE)
            if found is not None:
                team = SeveralProcesses(started.rank, started.processes, *found)
        assert team is not None, "else the request to stop has been raised"
        yield team
    except StopRequested:
        if team is not None:
            team.say_stopped()
        raise
    except RuntimeError as error:
        if not _is_of_the_team(error):
            raise
        if team is not None and team.was_stopped():
            raise StopRequested from None
        reason = re.sub(r"\[\S*:\d+\] ", "", " ".join(str(error).split())).partition(". ")[0][:160]
        raise ProcessLostError(
            f"another process of this run has ended or is out of reach ({reason}); the same command goes on after the "
            "last epoch saved"
        ) from None
    dist.destroy_process_group()


def _is_of_the_team(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or re.search("gloo|NCCL", str(error)) is not None


def check_team(run: ResolvedRun, config: Config, size: int) -> None:
    """Refuse what several processes cannot train together.

    Raises:
        UserError: the run is of that kind.
    """
    if size == 1:
        return
    for name in ("compile", "cuda_graph"):
        if getattr(config, name):
            raise UserError(f"{name}: true works in one process, and this run has {size}; use {name}: false")
    if run.recipe.batch_size < size:
        raise UserError(
            f"a batch of {run.recipe.batch_size} cannot be cut into shares for {size} processes; start fewer, or set a "
            "larger batch_size in recipe.overrides"
        )
