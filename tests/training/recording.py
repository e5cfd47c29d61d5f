"""A CUDA graph played by the CPU: what it records is run again operation by operation, on the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Recording(TorchDispatchMode):
    """Runs and records every operation. A number taken out of a tensor is an error, as it is in a capture on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, dict[int, Tensor]]] = []
        self._made: set[int] = set()
        self._before: dict[int, tuple[Any, Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing: a number was read from a tensor")
        given = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in _tensors((args, kwargs)).values()}
        for place, storage in given.items():
            if place not in self._made:
                self._before.setdefault(place, (storage, storage.clone()))
        out = func(*args, **(kwargs or {}))
        made = {i: t for i, t in _tensors(out).items() if t.untyped_storage().data_ptr() not in given}
        self._made |= {t.untyped_storage().data_ptr() for t in made.values()}
        self.operations.append((func, args, kwargs or {}, made))
        return out

    def undo(self) -> None:
        for storage, before in self._before.values():
            storage.copy_(before)

    def replay(self) -> None:
        with torch.inference_mode():
            for func, args, kwargs, made in self.operations:
                out = _tensors(func(*args, **kwargs))
                for i, tensor in made.items():
                    tensor.copy_(out[i])


def _tensors(tree: Any) -> dict[int, Tensor]:
    return {i: leaf for i, leaf in enumerate(tree_leaves(tree)) if isinstance(leaf, Tensor)}


class CpuCapture:
    """`linconv.training.graphs.CudaCapture` without a GPU. Like it, it records numbers and addresses, not names.

    A capture on a GPU runs nothing; here the operations do run, so what they change is put back.
    """

    def __init__(self) -> None:
        self.warmed = self.captured = self.replayed = 0

    def warm_up(self, function: Callable[[], None]) -> None:
        self.warmed += 1
        function()

    def capture(self, function: Callable[[], None]) -> Callable[[], None]:
        self.captured += 1
        drawn = torch.get_rng_state()
        with _Recording() as recording:
            function()
        recording.undo()
        torch.set_rng_state(drawn)

        def replay() -> None:
            self.replayed += 1
            recording.replay()

        return replay
