"""Choosing each layer's form for inference by the clock of the user's own machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from linconv.config.errors import first_line
from linconv.config.names import check_known
from linconv.layers.batch_norm import find_norms
from linconv.layers.copies import copied
from linconv.layers.exact_forms import Form, equal, exact_forms
from linconv.layers.images import check_sample, check_values, running_on, the_sample
from linconv.layers.options import several_names
from linconv.layers.progress import watched
from linconv.layers.replacement import ConvReplacement
from linconv.layers.replacing import check_module, has_hooks, refuse_wrappers, replace_modules
from linconv.layers.sharing import Shared, find_shared, share_tensors

log = logging.getLogger("linconv")

ROUNDS = 7
BLOCK_SECONDS = 0.01
FORMS = ("folded", "feature", "product")


def optimize(
    model: nn.Module, sample_input: Tensor, *, batch_norm: bool = True, forms: Sequence[str] = FORMS
) -> nn.Module:
    """A copy of the model for inference whose replaced convolutions each run in their fastest exact form.

    Each layer is timed alone on the input that it gets from `sample_input`, in interleaved rounds: folded into a plain
    convolution, in feature space, and as a product (a LinearConv as a convolution with V, then one with [I; A]). A form
    whose outputs differ from the layer's by more than rounding is left out, and a warning names it. Then, where several
    layers have forms, the whole model is timed with the fastest form of each, and with one form throughout; what takes
    the least time is kept. A layer that does not fold stays as it is; a layer without a form in feature space is
    folded. A layer or a batch normalization with hooks stays as it is, hooks included, and a warning names the layer.
    What is fastest depends on the device, the batch, the dtype, the memory layout and the number of threads, so
    optimize under the conditions in which the model will run. The copy shares no tensor with `model` and does not
    train. Layers that share parameters with each other share them afterwards: they take one form, and keep their batch
    normalization. A layer that shares filters with anything else stays as it is, and a warning names it.

    Args:
        model: any model; it is left as it is. Layers that `sample_input` does not reach are folded.
        sample_input: (n, c, h, w), a batch of the size, dtype and layout to come, on the model's device.
        batch_norm: fold every batch normalization that acts on the output of one convolution alone into it, plain
            convolutions included. The folded ones become `nn.Identity`.
        forms: those to choose from, of "folded", "feature" and "product". One alone is taken untimed, as before an
            export to an engine.

    Raises:
        TypeError: `model` is no module, `sample_input` no tensor, or `forms` is no list of strings.
        ValueError: an unknown form, or none; a model with convolutions inside DistributedDataParallel, FSDP,
            torch.compile or TorchScript.
        UserError: the model does not run on `sample_input`, is lazy, or is on the meta device.
    """
    check_module(model)
    check_sample(sample_input)
    forms = several_names(forms, "forms: a list of forms", "feature")
    check_known(forms, FORMS, "form")
    if not forms:
        raise ValueError(f"forms: name at least one of {', '.join(FORMS)}")
    refuse_wrappers(model, (ConvReplacement, nn.Conv2d), "optimize")
    check_values(model, "optimize")
    original, model = model, copied(model).eval()  # a pass may change what a model holds: each runs on a copy
    names = {module: name for name, module in model.named_modules()}
    with torch.no_grad(), running_on(the_sample(sample_input)):
        model(sample_input)
    shared = find_shared(model)
    staying = _staying(model, shared)
    found_norms = find_norms(model, sample_input) if batch_norm else {}
    norms = {layer: norm for layer, norm in found_norms.items() if layer not in shared.modules}
    inputs = _inputs(model, sample_input)
    exact = {
        layer: found
        for name, layer in model.named_modules()
        if layer not in staying and (found := exact_forms(name, layer, norms.get(layer), inputs.get(layer), forms))
    }
    _offer_alike(exact, shared)
    fastest = {
        layer: _fastest(found, inputs.get(layer)) for layer, found in watched(exact.items(), "optimize", len(exact))
    }
    for group in shared.groups:
        fastest |= {layer: _named(exact[layer], fastest[group[0]].name) for layer in group if layer in exact}
    throughout = [{layer: _named(found, form) for layer, found in exact.items()} for form in forms]
    choices = [_replacements(choice, norms) for choice in _distinct([fastest, *throughout])]
    for choice in choices:
        share_tensors(shared.groups, choice)
    chosen = _fastest_whole(model, choices, sample_input, timed=len(exact) > 1)  # one layer has been timed already
    wanted = {names[module]: new for module, new in (chosen or {}).items()}
    if norms and not (chosen and _agrees(_changed(original, wanted), original, sample_input)):
        log.warning("optimize: batch normalization stays, for the model's outputs change without its modules")
        return optimize(original, sample_input, batch_norm=False, forms=forms)
    if chosen is None:
        log.warning("optimize: every layer stays as it is, for the model does not run with %s", " or ".join(forms))
    return _changed(original, wanted).requires_grad_(False)


def _changed(original: nn.Module, wanted: Mapping[str, nn.Module]) -> nn.Module:
    """A copy of a model, as it is before any pass, with other modules of these names."""
    changed = copied(original).eval()
    return replace_modules(changed, {changed.get_submodule(name): new for name, new in wanted.items()})


def _staying(model: nn.Module, shared: Shared) -> set[nn.Module]:
    """The replaced convolutions that stay as they are, as another form would lose something; a warning names them."""
    staying = set[nn.Module]()
    for name, layer in model.named_modules():
        if not isinstance(layer, ConvReplacement):
            continue
        if has_hooks(layer):
            reason = "has hooks, which another form would not have,"
        elif layer in shared.others:
            reason = f"shares parameters of its filters with {shared.others[layer]}, as another form would not,"
        else:
            continue
        staying.add(layer)
        if layer.folds:
            log.warning("optimize: %s %s and stays as it is", name or "it", reason)
    return staying


def _offer_alike(exact: dict[nn.Module, list[Form]], shared: Shared) -> None:
    """Leave to layers with the same parameters the forms that all of them have; without one they stay as they are."""
    for group in shared.groups:
        names = set.intersection(*({form.name for form in exact.get(layer, ())} for layer in group))
        for layer in group:
            if common := [form for form in exact.pop(layer, ()) if form.name in names]:
                exact[layer] = common


def _named(found: Sequence[Form], name: str) -> Form:
    """The form of a name, or the first one."""
    return next((form for form in found if form.name == name), found[0])


def _distinct(choices: Sequence[Mapping[nn.Module, Form]]) -> list[Mapping[nn.Module, Form]]:
    return [choice for i, choice in enumerate(choices) if choice not in choices[:i]]


def _replacements(choice: Mapping[nn.Module, Form], norms: Mapping[nn.Module, nn.Module]) -> dict[nn.Module, nn.Module]:
    """The modules to replace for a choice of forms, each by its own new one."""
    found: dict[nn.Module, nn.Module] = {layer: form.module for layer, form in choice.items()}
    return found | {norms[layer]: nn.Identity() for layer in choice if layer in norms and choice[layer].norm is None}


@torch.no_grad()  # a model may keep tensors, and those of inference mode would not train
def _agrees(optimized: nn.Module, original: nn.Module, sample_input: Tensor) -> bool:
    try:
        return equal(optimized(sample_input), copied(original).eval()(sample_input))
    except (AttributeError, TypeError, RuntimeError):  # the model asks a module that is gone for something
        return False


@torch.no_grad()
def _inputs(model: nn.Module, sample_input: Tensor) -> dict[nn.Module, Tensor]:
    """The input of every layer that one pass reaches, of its first call."""
    inputs: dict[nn.Module, Tensor] = {}

    def remember(layer: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        inputs.setdefault(layer, next(iter((*arguments, *named.values()))).clone())

    layers = [m for m in model.modules() if isinstance(m, ConvReplacement)]
    hooks = [layer.register_forward_pre_hook(remember, with_kwargs=True) for layer in layers]
    try:
        model(sample_input)
    finally:
        for hook in hooks:
            hook.remove()
    return inputs


def _fastest(forms: Sequence[Form], x: Tensor | None) -> Form:
    return forms[0] if x is None else forms[_least(forms, x)]


@torch.no_grad()
def _fastest_whole(
    model: nn.Module, choices: Sequence[dict[nn.Module, nn.Module]], sample_input: Tensor, *, timed: bool
) -> dict[nn.Module, nn.Module] | None:
    """The replacements with which a pass of the whole model takes the least time; None where it runs with none.

    Without `timed` the first ones with which it runs.
    """

    def with_choice(choice: dict[nn.Module, nn.Module]) -> Callable[[Tensor], Any]:
        def call(x: Tensor) -> Any:
            changed = replace_modules(model, choice)
            try:
                return changed(x)
            finally:
                replace_modules(model, {new: old for old, new in choice.items()})

        return call

    calls = {i: call for i, choice in enumerate(choices) if _runs(call := with_choice(choice), sample_input)}
    if not calls:
        return None
    running = list(calls)
    return choices[running[_least(list(calls.values()), sample_input) if timed else 0]]


def _runs(call: Callable[[Tensor], Any], x: Tensor) -> bool:
    """Whether a model runs with other modules: its own code may ask them for what they do not have."""
    try:
        call(x)
    except Exception as error:
        log.info("optimize: a choice of forms is left out: %s", first_line(error))
        return False
    return True


@torch.no_grad()
def _least(calls: Sequence[Callable[[Tensor], Any]], x: Tensor) -> int:
    """Which call takes the least time: by its shortest block, for what else the machine does only adds to a block."""
    if len(calls) == 1:
        return 0
    repeats = [_calls(call, x) for call in calls]
    rounds = [[_seconds(call, x, n) for call, n in zip(calls, repeats, strict=True)] for _ in range(ROUNDS)]
    shortest = [min(taken) for taken in zip(*rounds, strict=True)]
    return shortest.index(min(shortest))


def _calls(call: Callable[[Tensor], Any], x: Tensor) -> int:
    _seconds(call, x, 1)
    return max(1, int(BLOCK_SECONDS / max(1e-9, _seconds(call, x, 1))))


def _seconds(call: Callable[[Tensor], Any], x: Tensor, calls: int) -> float:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    # of one thread, the time that the processor spends: what else the machine does is not in it
    alone = x.device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.thread_time if alone else time.perf_counter
    start = clock()
    for _ in range(calls):
        call(x)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return (clock() - start) / calls
