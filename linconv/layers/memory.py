"""Where tensors lie in memory, and which share values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from torch import Tensor, nn

Address = tuple[Any, ...]
Owner = TypeVar("Owner")


def overlapping(tensors: Iterable[tuple[Tensor, Owner]]) -> Iterator[tuple[Owner, Owner]]:
    """The owners of every two tensors that share values."""
    extents = [(extent, owner) for tensor, owner in tensors if (extent := _extent(tensor))]
    before: list[tuple[str, int, Owner]] = []  # what may reach into the next extent, in order of the start
    for (space, start, end), owner in sorted(extents, key=lambda entry: entry[0]):
        before = [entry for entry in before if entry[0] == space and entry[1] > start]
        yield from ((owner, other) for *_, other in before)
        before.append((space, end, owner))


def _extent(tensor: Tensor) -> tuple[str, int, int] | None:
    """Where the values of a tensor lie: the device, the first address and the one behind the last; None without any."""
    if nn.parameter.is_lazy(tensor) or tensor.numel() == 0:
        return None
    if not (start := _first_address(tensor)):
        return "of its own", id(tensor), id(tensor) + 1
    values = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return str(tensor.device), start, start + values * tensor.element_size()


def owners_of(model: nn.Module) -> dict[Address, dict[nn.Module, str]]:
    """The modules that have a parameter themselves, with their names, by where its values lie."""
    owners: dict[Address, dict[nn.Module, str]] = {}
    for name, module in model.named_modules():
        for parameter in module._parameters.values():
            if parameter is not None and not nn.parameter.is_lazy(parameter):
                owners.setdefault(address_of(parameter), {})[module] = name
    return owners


def address_of(tensor: Tensor) -> Address:
    """Where a tensor lies: the same for two parameters that were given one tensor."""
    address = _first_address(tensor)
    return (tensor.device, address, tensor.shape) if address else (id(tensor),)


def _first_address(tensor: Tensor) -> int:
    """Where the values of a tensor begin; 0 for a tensor that has none: lazy, on "meta" or of another kind."""
    if nn.parameter.is_lazy(tensor):
        return 0
    try:
        return tensor.data_ptr()
    except RuntimeError:
        return 0
