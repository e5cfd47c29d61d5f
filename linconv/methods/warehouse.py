"""A warehouse of kernel cells that the layers of a network share; every layer is put together of their combinations.

Sources: C. Li, A. Yao, "KernelWarehouse: Rethinking the Design of Dynamic Convolution", ICML 2024 (cells, and one
warehouse for several layers); P. Savarese, M. Maire, "Learning Implicitly Recurrent CNNs Through Parameter Sharing",
ICLR 2019 (learned constants as coefficients, in place of KernelWarehouse's attention on the input).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from linconv.config.rules import is_int
from linconv.layers import ConvReplacement, Count, Factory, Rank


class Warehouse(nn.Module):
    """n cells (N', c', kh, kw), below each other: (n N', c', kh, kw)."""

    def __init__(self, factory: Factory, count: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.count, self.shape = count, shape
        self.cells = factory.parameter(count * shape[0], *shape[1:])

    @property
    def rows(self) -> Tensor:
        """The cells as rows, (n, N' c' kh kw)."""
        return self.cells.reshape(self.count, -1)


class WarehouseConv2d(ConvReplacement):
    """W = blocks of sum_j a_ij e_j: n cells e (N', c', kh, kw), m blocks, a (m, n); n N' c' k^2 + m n parameters.

    `convert` gives one warehouse to all layers of a network that have one kernel size: m is then the number of their
    blocks together, and n counts once in the network. A layer that is made by itself has a warehouse of its own. The
    filters of a layer are cut into N/N' times (c/g)/c' blocks; N' is the greatest common divisor of the layers' N,
    divided by `split` or the next smaller number that divides it, and c' that of their c/g. It runs as one convolution
    with W, which is made once a step.

    Args:
        cells: n, an int of at least 1 or a float in (0, 1], the share of the layers' N D values that cells and
            coefficients take; an int is lowered to what the blocks can need.
        split: into how many parts the common divisors are cut.
        init: "matched" draws cells and coefficients, the filters W of every layer with the standard deviation of
            `nn.Conv2d`'s or of those replaced; "svd", in `from_conv2d` and `convert`, takes the cells that are best for
            all blocks of the given filters, the layers scaled to one norm.
    """

    inits = ("matched",)
    fits = ("svd",)
    scaled = ("mixing",)

    def build(self, factory: Factory, *, cells: Rank = 0.5, split: Count = 2, init: str = "matched") -> None:
        self.wanted, self.split = cells, split
        self._use(_new_warehouse([self], factory), factory)

    def _use(self, warehouse: Warehouse, factory: Factory) -> None:
        """Make the filters of the cells of a warehouse."""
        self.warehouse = warehouse
        self.blocks = self.out_channels // warehouse.shape[0], self.filter_shape[0] // warehouse.shape[1]
        self.mixing = factory.parameter(math.prod(self.blocks), warehouse.count)

    def reset_parameters(self) -> None:
        """Draw new cells, also for the layers that share them, and new coefficients."""
        # Var(W) = n Var(a) Var(e): the cells as nn.Conv2d draws filters of D values, and Var(a) = 1 / n
        nn.init.uniform_(self.warehouse.cells, -1 / math.sqrt(self.filter_size), 1 / math.sqrt(self.filter_size))
        nn.init.uniform_(self.mixing, -math.sqrt(3 / self.warehouse.count), math.sqrt(3 / self.warehouse.count))
        self.reset_bias()

    @property
    def weight(self) -> Tensor:
        blocks = (self.mixing @ self.warehouse.rows).view(*self.blocks, *self.warehouse.shape)
        return blocks.transpose(1, 2).reshape(self.out_channels, *self.filter_shape)

    @property
    def macs_per_step(self) -> int:
        """The combinations of the cells."""
        return self.warehouse.count * self.out_channels * self.filter_size

    def fit_(self, conv: nn.Conv2d, init: str) -> None:
        _fit({conv: self})
        if self.bias is not None and conv.bias is not None:
            self.bias.copy_(conv.bias)

    @classmethod
    def share_(cls, layers: Mapping[nn.Conv2d, Self], init: str | None) -> None:
        alike: dict[tuple[object, ...], dict[nn.Conv2d, Self]] = defaultdict(dict)
        for conv, layer in layers.items():
            weight = conv.weight  # frozen filters stay frozen, those of another device or dtype stay there
            key = layer.kernel_size, weight.requires_grad, weight.device, weight.dtype
            alike[key][conv] = layer
        for group in alike.values():
            if len(group) > 1:
                _share(group, fit=init in cls.fits)

    def extra_repr(self) -> str:
        shape = tuple(self.warehouse.shape)
        return f"{super().extra_repr()}, blocks={len(self.mixing)}, cells={self.warehouse.count} of {shape}"


def _new_warehouse(layers: Sequence[WarehouseConv2d], factory: Factory) -> Warehouse:
    """A warehouse for layers of one kernel size."""
    first = layers[0]
    rows = _part(math.gcd(*(layer.out_channels for layer in layers)), first.split)
    columns = _part(math.gcd(*(layer.filter_shape[0] for layer in layers)), first.split)
    shape = rows, columns, *first.kernel_size
    size = math.prod(shape)
    blocks = sum(layer.out_channels * layer.filter_size for layer in layers) // size
    wanted = first.wanted if is_int(first.wanted) else math.floor(first.wanted * blocks * size / (size + blocks) + 1e-9)
    return Warehouse(factory, min(max(1, int(wanted)), blocks, size), shape)


def _part(total: int, split: int) -> int:
    """`total` divided by `split`, or by the greatest smaller number that divides it."""
    return total // next(parts for parts in range(split, 0, -1) if total % parts == 0)


def _share(group: Mapping[nn.Conv2d, WarehouseConv2d], *, fit: bool) -> None:
    """Give one warehouse to layers that replace these convolutions."""
    weight = next(iter(group)).weight
    factory = Factory(weight.device, weight.dtype)
    warehouse = _new_warehouse(list(group.values()), factory)
    for layer in group.values():
        bias = layer.bias  # which is there already, drawn or fitted
        layer.bias = None
        layer._use(warehouse, factory)
        layer.reset_parameters()
        layer.bias = bias
    if not weight.is_meta:  # where there are no values, there are none to start from
        if fit:
            _fit(group)
        else:
            for conv, layer in group.items():
                layer.match_(conv)
    for conv, layer in group.items():
        layer.carry_over_(conv)


def _fit(group: Mapping[nn.Conv2d, WarehouseConv2d]) -> None:
    """Cells and coefficients that are nearest to given filters, every layer's scaled to one root mean square."""
    warehouse = next(iter(group.values())).warehouse
    given = []
    # in double on the CPU: the same filters on every device, and in half precision too
    for conv, layer in group.items():
        (rows, columns), (height, width) = layer.blocks, warehouse.shape[:2]
        filters = conv.weight.detach().to("cpu", torch.float64).view(rows, height, columns, width, -1)
        given.append(filters.transpose(1, 2).reshape(rows * columns, -1))
    scales = [float(blocks.square().mean().sqrt()) or 1.0 for blocks in given]
    scaled = torch.cat([blocks / scale for blocks, scale in zip(given, scales, strict=True)])
    u, s, vh = torch.linalg.svd(scaled, full_matrices=False)
    root = s[: warehouse.count].sqrt()
    warehouse.cells.copy_((root[:, None] * vh[: warehouse.count]).reshape(warehouse.cells.shape))
    coefficients = (u[:, : warehouse.count] * root).split([len(blocks) for blocks in given])
    for layer, values, scale in zip(group.values(), coefficients, scales, strict=True):
        layer.mixing.copy_(values * scale)
