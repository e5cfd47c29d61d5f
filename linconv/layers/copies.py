"""Copies of models: of any module that can be copied at all, with or without memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from linconv.config.errors import UserError, first_line
from linconv.layers.memory import overlapping

WRAPPERS = {
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "OptimizedModule": "_orig_mod",  # what torch.compile returns
}


def copied(model: nn.Module) -> nn.Module:
    """A copy that shares no memory; a tensor that a forward pass stored in a module becomes a constant.

    `copy.deepcopy` refuses such tensors where autograd made them. Parameters and buffers that share memory with one
    another do so in the copy, too.

    Raises:
        UserError: an attribute of a module cannot be copied.
    """
    return _copy(model, _Clones([*model.parameters(), *model.buffers()]))


def copied_to_meta(model: nn.Module) -> nn.Module:
    """A copy without memory: every parameter, buffer and other tensor is on the meta device."""
    return _copy(model, lambda tensor: torch.empty_like(tensor.detach(), device="meta"))


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside the wrappers of torch.compile, DistributedDataParallel and DataParallel."""
    while attribute := WRAPPERS.get(type(model).__name__):
        model = getattr(model, attribute)
    return model


def _copy(model: nn.Module, of: Callable[[Tensor], Tensor]) -> nn.Module:
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        memo[id(tensor)] = _like(tensor, of)
    with _CopyTensors(of):
        try:
            return copy.deepcopy(model, memo)
        except Exception as error:  # whatever an attribute of the user's raises
            raise UserError(
                f"the model cannot be copied{_culprit(model, memo)}: {first_line(error)}; set it to None first, or "
                "give its class a __deepcopy__"
            ) from error


def _culprit(model: nn.Module, memo: dict[int, Any]) -> str:
    """The first attribute that cannot be copied alone, in words."""
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute != "_modules":
                try:
                    copy.deepcopy(value, {**memo, **dict.fromkeys(map(id, model.modules()))})
                except Exception:
                    return f", for its attribute {f'{name}.{attribute}'.lstrip('.')}"
    return ""


def _like(tensor: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    """The copy of a tensor: a parameter again where it is one, with the attributes that others gave it."""
    if nn.parameter.is_lazy(tensor):
        if isinstance(tensor, nn.UninitializedBuffer):  # copy.deepcopy refuses those of LazyBatchNorm
            again: Any = nn.UninitializedBuffer  # whose arguments its stub does not know
            return again(device=tensor.device, dtype=tensor.dtype, persistent=tensor.persistent)
        return copy.deepcopy(tensor)
    made = of(tensor)
    if isinstance(tensor, nn.Parameter):
        made = nn.Parameter(made, tensor.requires_grad)
        vars(made).update(vars(tensor))
        return made
    return made.requires_grad_(tensor.requires_grad and tensor.is_leaf)


class _Clones:
    """Clones tensors, of which those that share values do so again."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._shared = {
            id(tensor)
            for both in overlapping((tensor, tensor) for tensor in tensors)
            if both[0] is not both[1]
            for tensor in both
        }
        self._memories: dict[int, torch.UntypedStorage] = {}

    def __call__(self, tensor: Tensor) -> Tensor:
        if id(tensor) not in self._shared:
            return tensor.detach().clone()
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in self._memories:
            self._memories[memory.data_ptr()] = memory.clone()
        again = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        return again.set_(self._memories[memory.data_ptr()], tensor.storage_offset(), tensor.shape, tensor.stride())


class _CopyTensors(TorchFunctionMode):
    """Within, `copy.deepcopy` copies a tensor that it meets as `of` says."""

    def __init__(self, of: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._of = of

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not Tensor.__deepcopy__:
            return func(*args, **(kwargs or {}))
        tensor, memo = args
        if id(tensor) not in memo:
            memo[id(tensor)] = _like(tensor, self._of)
        return memo[id(tensor)]
