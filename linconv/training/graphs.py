"""Training steps replayed as CUDA graphs: one launch per step instead of one per kernel."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from linconv.config.errors import UserError
from linconv.training.step import EagerStep, Term

Replay = Callable[[], Any]
# Before a capture every kernel must have been chosen and every lasting buffer made.
WARM_UP = 3


class Rerun:
    """Stands in for `CudaCapture` where there is no GPU: what was captured is run again."""

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run `function`."""
        function()

    def capture(self, function: Callable[[], None]) -> Replay:
        """What runs `function`."""
        return function


class CudaCapture:
    """Captures functions on a stream of their own, into graphs that share one memory pool.

    They may share it: nothing a step leaves in it is read by another, and no two run at once.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run `function` on the stream that captures."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*constructed with capturable=True")
            function()
        torch.cuda.current_stream().wait_stream(self._stream)

    def capture(self, function: Callable[[], None]) -> Replay:
        """Record `function` without running it; the result runs what was recorded.

        It holds `function` and with it the tensors that the graph reads: their memory must not be used again.
        """
        graph = torch.cuda.CUDAGraph()
        # thread_local: a thread that pins memory for a loader must not spoil the capture
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            function()
        return partial(_replay, graph, function)


def _replay(graph: torch.cuda.CUDAGraph, holds: Callable[[], None]) -> None:
    graph.replay()


@dataclass
class _Slot:
    """Steps of one kind: how many ran eagerly, then the graph and the tensors it reads its batch from."""

    warmed: int = 0
    replay: Replay | None = None
    x: Tensor | None = None
    y: Tensor | None = None


class GraphedStep(EagerStep):
    """`EagerStep`, captured and replayed.

    There is a graph for every kind of step: for every shape of batch (the last, smaller one of an epoch is a kind of
    its own) and every set of terms. The first `WARM_UP` steps of a kind run eagerly and count as steps, so warming
    up changes nothing. What happens between steps must change tensors in place, as the sparse schedule does with its
    masks: a graph goes on reading the tensors it was captured with.

    Raises:
        UserError: a step cannot be captured.
    """

    capturable = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._device_side = CudaCapture()
        self._slots: dict[Hashable, _Slot] = {}

    def __call__(self, x: Tensor, y: Tensor, terms: Sequence[Term] = ()) -> None:
        slot = self._slots.setdefault((x.shape, x.stride(), x.dtype, tuple(terms)), _Slot())
        if slot.warmed < WARM_UP:
            slot.warmed += 1
            self._device_side.warm_up(lambda: self._compute(x, y, terms))
            return
        if slot.replay is None or slot.x is None or slot.y is None:
            x, y = slot.x, slot.y = x.clone(), y.clone()
            slot.replay = capture(self._device_side, lambda: self._compute(x, y, terms))
        slot.x.copy_(x)
        slot.y.copy_(y)
        slot.replay()

    def in_force(self) -> dict[str, Any]:
        return super().in_force() | {"cuda_graphs": sum(slot.replay is not None for slot in self._slots.values())}


def capture(device_side: CudaCapture | Rerun, function: Callable[[], None]) -> Replay:
    """What replays `function`, recorded now.

    Raises:
        UserError: it cannot be captured.
    """
    try:
        return device_side.capture(function)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"cuda_graph: this training step cannot be captured ({reason}); use false") from error
