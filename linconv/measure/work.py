"""The multiply-accumulates (MACs) that a network really runs, as torch sees them, by the layer that runs them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

FORWARD = {
    "convolution": ("convolution", "_convolution", "cudnn_convolution", "convolution_overrideable"),
    "matrix product": ("mm", "addmm", "bmm", "baddbmm", "_scaled_mm"),
    "attention": (
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_flash_attention_for_cpu",  # torch's own counter lacks it
        "_flash_attention_forward",
        "_efficient_attention_forward",
    ),
}
KINDS = {name: kind for kind, names in FORWARD.items() for name in names}


class WorkCounter(TorchDispatchMode):
    """Counts the MACs of each operation of torch's FLOP counter, for the layer that runs at that moment.

    Attributes:
        running: the names of the layers that run now, the innermost last; the caller pushes and pops.
        macs: MACs by layer and kind of operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.running: list[str] = [""]
        self.macs: dict[str, Counter[str]] = defaultdict(Counter)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        kind = KINDS.get(packet.__name__) if func.namespace == "aten" else None
        if kind is None:
            with self:  # a composite operation, which arrives whole where autograd is off
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        output = func(*args, **kwargs)
        if kind is not None:
            self.macs[self.running[-1]][kind] += _flops(packet, args, kwargs, output) // 2
        return output

    def within(self, names: Iterable[str]) -> int:
        """MACs of some layers together."""
        return sum(self.macs[name].total() for name in names if name in self.macs)


def _flops(packet: Any, args: Any, kwargs: Any, output: Any) -> int:
    if packet is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
        query, key, value = args[:3]
        return int(sdpa_flop_count(query.shape, key.shape, value.shape))
    return int(flop_registry[packet](*args, **kwargs, out_val=output))
