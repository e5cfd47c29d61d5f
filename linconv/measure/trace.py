"""The layers of a network in the order in which they run, with the shapes that pass through them."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from linconv.layers import ConvReplacement
from linconv.layers.copies import copied, copied_to_meta, unwrapped
from linconv.layers.images import check_values, image_of, one_image, running_on
from linconv.measure.work import WorkCounter

CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.modules.conv._ConvNd, ConvReplacement)


class Call(NamedTuple):
    """One call of a layer for one image.

    Attributes:
        name: of the layer; `module` is the layer itself, in the model that was given.
        input_shape, output_shape: without the first dimension.
        images: the size of the first dimension of the output: 1, or the windows, regions or crops made of one image.
        input_needs_grad: whether something before the layer learns.
        macs: what torch's counter saw in this call.
    """

    name: str
    module: nn.Module
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    input_needs_grad: bool
    images: int = 1
    macs: int = 0


class Trace(NamedTuple):
    """What one image makes a network do.

    Attributes:
        calls: of every convolution and leaf layer, in order.
        outside: MACs that torch's counter saw outside of convolutions and linear layers, by module and operation.
        silent: leaf layers with a matrix in which torch's counter saw no MACs: it does not know their operation.
    """

    calls: list[Call]
    outside: dict[str, dict[str, int]]
    silent: list[str]


def trace(model: nn.Module, input_shape: tuple[int, ...]) -> list[Call]:
    """Every call of a convolution or leaf layer in a forward pass of one image, (c, h, w) or whatever the model takes.

    A copy of the model runs, on the meta device: shapes only, no arithmetic, no memory. A model that cannot run there
    (it makes tensors of its own on another device, or looks at values) is copied in full and run on zeros. The model
    itself does not run.

    Raises:
        UserError: the model does not run on such an image, or is lazy.
    """
    return trace_work(model, input_shape).calls


def trace_work(model: nn.Module, input_shape: tuple[int, ...]) -> Trace:
    """The calls of `trace`, and the work outside of them."""
    model = unwrapped(model)
    check_values(model, "complexity", meta=True)
    with contextlib.suppress(Exception):  # whatever a forward raises that meets meta tensors
        return _trace(model, copied_to_meta(model), image_of(model, input_shape, "meta"))
    full = copied(model)
    with running_on(one_image(input_shape)):
        return _trace(model, full, image_of(model, input_shape))


def _trace(model: nn.Module, copy: nn.Module, image: Tensor) -> Trace:
    inside = {m for layer in copy.modules() if isinstance(layer, ConvReplacement) for m in layer.modules()}
    recorder = _Recorder(model)
    for name, module in copy.named_modules():
        if isinstance(module, ConvReplacement) or module not in inside:
            recorder.watch(name, module)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation, of which torch's counter knows nothing
    try:
        # batch normalization refuses a batch of one 1 x 1 image in train mode
        with torch.enable_grad(), recorder.work:
            copy.eval()(image)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return recorder.result()


class _Recorder:
    """Hooks that write down each call, and which layer the work of torch's operations belongs to."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.work = model, WorkCounter()
        self.calls: list[Call] = []
        self.entered: list[int] = []  # MACs of the layer before the calls that run now
        self.counted: set[str] = set()
        self.matrices: list[str] = []

    def watch(self, name: str, module: nn.Module) -> None:
        """Hook a module: every one says what runs now, leaf layers and convolutions are recorded."""
        leaf = is_counted(module) or not any(module.children())
        if is_counted(module):
            self.counted.add(name)
        if leaf and not isinstance(module, nn.Embedding | nn.EmbeddingBag) and _has_matrix(module):
            self.matrices.append(name)

        def enter(_: nn.Module, args: tuple, kwargs: dict) -> None:
            self.work.running.append(name)
            self.entered.append(self.work.within([name]))

        def leave(_: nn.Module, args: tuple, kwargs: dict, output: object) -> None:
            self.work.running.pop()
            before = self.entered.pop()
            if leaf:
                self._record(name, module, (*args, *kwargs.values()), output, before)

        # before and after the module's own hooks, whose work belongs to the module
        module.register_forward_pre_hook(enter, prepend=True, with_kwargs=True)
        module.register_forward_hook(leave, with_kwargs=True)

    def _record(self, name: str, module: nn.Module, given: tuple, output: Any, before: int) -> None:
        source = next((a for a in given if isinstance(a, Tensor)), None)
        result = output[0] if isinstance(output, tuple | list) else output
        if not (isinstance(source, Tensor) and isinstance(result, Tensor)):
            return
        spatial = len(module.kernel_size) if isinstance(module, CONVOLUTIONS) else None  # type: ignore[arg-type]
        batched = result.dim() > (1 if spatial is None else spatial + 1)
        before_it, after_it = (tuple(t.shape[1:] if batched else t.shape) for t in (source, result))
        images = result.shape[0] if batched else 1
        seen = self.work.within([name]) - before
        original = self.model.get_submodule(name)
        self.calls.append(Call(name, original, before_it, after_it, source.requires_grad, images, seen))

    def result(self) -> Trace:
        outside = {
            name or type(self.model).__name__: dict(kinds)
            for name, kinds in self.work.macs.items()
            if name not in self.counted and kinds.total()
        }
        called = {call.name for call in self.calls}
        silent = [name for name in self.matrices if name in called and not self.work.within([name])]
        return Trace(self.calls, outside, silent)


def is_counted(module: nn.Module) -> bool:
    """Whether a module's work is counted by a formula: convolutions, their replacements and linear layers."""
    return isinstance(module, (nn.Linear, *CONVOLUTIONS))


def _has_matrix(module: nn.Module) -> bool:
    """A scale for each channel may be (c, 1, 1)."""
    return any(sum(size > 1 for size in p.shape) > 1 for p in module.parameters())
