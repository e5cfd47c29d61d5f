"""Putting modules in the place of others, and what such a change would lose."""

from __future__ import annotations

import dataclasses
from collections import UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import MethodType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from linconv.config.errors import UserError
from linconv.layers.copies import unwrapped
from linconv.layers.memory import overlapping

MODULE_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
HOOKED = "has hooks, which the new layer would not have"
MAX_DEPTH = 4  # of lists, dictionaries and so on in each other, which may also contain themselves
DATA_PARALLEL = ("DistributedDataParallel", "FullyShardedDataParallel", "FSDPModule")


class NoModuleError(UserError, TypeError):
    """An argument that should be a model, and is none."""


def check_module(model: object) -> None:
    """Raise NoModuleError for what is no module, with the way to one."""
    if isinstance(model, nn.Module):
        return
    kind = type(model).__name__
    if isinstance(model, Mapping):
        remedy = "load these tensors into their model first (load_state_dict)"
    elif isinstance(model, torch.export.ExportedProgram):
        remedy = "use the model from before torch.export"
    else:
        remedy = "make the model first"
    raise NoModuleError(f"model must be an nn.Module, not {'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}; {remedy}")


def refuse_wrappers(model: nn.Module, kinds: tuple[type[nn.Module], ...], what: str) -> None:
    """Raise ValueError where modules of some kinds stand inside a wrapper that knows the parameters or the code.

    Args:
        kinds: of the modules that are to be replaced.
        what: is done with them: "convert", "fold" or "optimize".
    """
    for name, module in model.named_modules():
        if (reason := _wrapped(module)) and any(_is_a(inner, kinds) for inner in module.modules()):
            raise ValueError(f"{name or 'the model'} is {reason[0]}; {what} the model before {reason[1]}")


def without_wrapper(model: nn.Module, what: str) -> nn.Module:
    """The model inside torch.compile, DistributedDataParallel or DataParallel.

    Args:
        what: is done with it: "save" or "export".

    Raises:
        UserError: a module of it has such a wrapper on its own, or is of FSDP or TorchScript.
    """
    model = unwrapped(model)
    for name, module in model.named_modules():
        if (reason := _wrapped(module)) and module._compiled_call_impl is None:  # which module.compile() sets
            raise UserError(f"{name or 'the model'} is {reason[0]}; {what} the model before {reason[1]}")
    return model


def _wrapped(module: nn.Module) -> tuple[str, str] | None:
    """What a wrapper is, with what it keeps, and the call that made it."""
    names = {cls.__name__ for cls in type(module).__mro__}
    if parallel := next((name for name in DATA_PARALLEL if name in names), None):
        maker = parallel.replace("FSDPModule", "fully_shard")
        return f"wrapped by {maker}, which keeps the old parameters", maker
    if "OptimizedModule" in names or module._compiled_call_impl is not None:
        return "compiled by torch.compile, which keeps the old code", "torch.compile"
    if isinstance(module, torch.jit.ScriptModule):
        return "a ScriptModule, whose code cannot change", "torch.jit.script or torch.jit.trace"
    return None


def _is_a(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    return isinstance(module, kinds) or getattr(module, "original_name", None) in {kind.__name__ for kind in kinds}


def is_exported(model: nn.Module) -> bool:
    """Whether a module is a program of torch.export, whose convolutions are no modules any more."""
    nodes = (node for m in model.modules() if isinstance(m, torch.fx.GraphModule) for node in m.graph.nodes)
    return any(node.op == "call_function" and str(node.target).startswith("aten.conv") for node in nodes)


def replaced_method(module: nn.Module) -> str | None:
    """The name of a method that was replaced on a module itself, such as `forward`; None where none was."""
    return next((name for name in vars(module) if callable(getattr(type(module), name, None))), None)


def has_hooks(module: nn.Module) -> bool:
    """Whether a module, what it contains or its parameters have hooks, which another module would not have.

    A method that was replaced on the module itself counts as one.
    """
    return (
        any(getattr(m, hooks) for m in module.modules() for hooks in MODULE_HOOKS)
        or any(getattr(p, hooks, None) for p in module.parameters() for hooks in TENSOR_HOOKS)
        or any(replaced_method(m) for m in module.modules())
    )


def refuse_hooks(named: Iterable[tuple[str, nn.Module]]) -> None:
    """Raise ValueError for the first module with hooks."""
    for name, module in named:
        if has_hooks(module):
            shown = name or "the model"
            method = next(filter(None, map(replaced_method, module.modules())), None)
            reason = f"has a `{method}` of its own, which the new layer would not have" if method else HOOKED
            raise ValueError(f"{shown} {reason}; remove {'it' if method else 'them'} or exclude {shown!r}")


def tied(model: nn.Module) -> dict[nn.Module, str]:
    """The modules that share values of a parameter with another module, and the name of one of these.

    Two parameters that are views of one memory share the values where they overlap.
    """
    found: dict[nn.Module, str] = {}
    owned = [
        (parameter, (module, name))
        for name, module in model.named_modules()
        for parameter in module._parameters.values()
        if parameter is not None
    ]
    for (module, name), (other, its_name) in overlapping(owned):
        if other is not module:
            found.setdefault(module, its_name)
            found.setdefault(other, name)
    return found


def replace_modules(model: nn.Module, replacements: Mapping[Any, Any]) -> nn.Module:
    """Put each replacement wherever its original is in a module of the model.

    It may be registered, or in a list, tuple, named tuple, set, deque, dictionary (as a key, too), dataclass, namespace
    or partial, or one of its methods may be there. What a function or an object of another class keeps is not found.

    Args:
        replacements: modules for modules, tensors for tensors.
    """
    for parent in list(model.modules()):
        for name, value in list(vars(parent).items()):
            if (changed := _replaced(value, replacements)) is not value:
                vars(parent)[name] = changed
    root: nn.Module = replacements.get(model, model)
    return root


def _replaced(value: Any, replacements: Mapping[Any, Any], depth: int = MAX_DEPTH) -> Any:
    """A value with the replacements in it; what can be changed is changed in place."""
    if isinstance(value, nn.Module | Tensor):
        return replacements.get(value, value)
    if isinstance(value, MethodType):
        other = _replaced(value.__self__, replacements, 0)
        return value if other is value.__self__ else getattr(other, value.__name__, value)
    if depth == 0:
        return value

    def new(entry: Any) -> Any:
        return _replaced(entry, replacements, depth - 1)

    if isinstance(value, dict | UserDict):
        _replace_in_mapping(value, new)
    elif isinstance(value, list | deque | UserList):
        for i, entry in enumerate(list(value)):
            if (changed := new(entry)) is not entry:
                value[i] = changed
    elif isinstance(value, tuple | set | frozenset | partial):
        return _rebuilt(value, new)
    else:
        _replace_in_fields(value, new)
    return value


def _replace_in_mapping(value: Any, new: Callable[[Any], Any]) -> None:
    entries = [(new(key), new(entry)) for key, entry in value.items()]
    if _differ((key for key, _ in entries), value):
        value.clear()
    for key, entry in entries:
        if key not in value or value[key] is not entry:
            value[key] = entry


def _rebuilt(value: Any, new: Callable[[Any], Any]) -> Any:
    """A tuple, a frozen set or a partial made anew where something in it changes; a set stays itself."""
    if isinstance(value, partial):
        new(value.keywords)
        func, args = new(value.func), new(value.args)
        same = func is value.func and args is value.args
        return value if same else type(value)(func, *args, **value.keywords)
    entries = [new(entry) for entry in value]
    if not _differ(entries, value):
        return value
    if isinstance(value, set):
        value.clear()
        value.update(entries)
        return value
    return getattr(value, "_make", type(value))(entries)  # a named tuple takes its fields one by one


def _replace_in_fields(value: Any, new: Callable[[Any], Any]) -> None:
    """Replace in what a dataclass or a namespace holds, and in nothing else."""
    names: list[str] = []
    if isinstance(value, SimpleNamespace):
        names = list(vars(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
    for name in names:
        entry = getattr(value, name)
        if (changed := new(entry)) is not entry:
            object.__setattr__(value, name, changed)  # a dataclass may be frozen


def _differ(some: Iterable[Any], others: Iterable[Any]) -> bool:
    return any(one is not other for one, other in zip(some, others, strict=True))


def modules_and_tensors(value: Any, depth: int = MAX_DEPTH) -> Iterator[nn.Module | Tensor]:
    """The modules and tensors in a value: itself, or in lists, tuples and dictionaries."""
    if isinstance(value, nn.Module | Tensor):
        yield value
    elif isinstance(value, dict | list | tuple) and depth > 0:
        for entry in value.values() if isinstance(value, dict) else value:
            yield from modules_and_tensors(entry, depth - 1)


def carry_attributes(source: nn.Module, target: nn.Module, own: Iterable[str]) -> None:
    """Give a new module what others wrote on the old one and on its parameters, such as marks for an optimizer.

    Args:
        source: the old module.
        own: names of the attributes that the old module has of itself.
    """
    for name in sorted(vars(source).keys() - set(own) - vars(target).keys()):
        setattr(target, name, vars(source)[name])
    for is_bias in (True, False):
        marks = [vars(p) for name, p in source.named_parameters() if (name == "bias") == is_bias]
        for parameter in (p for name, p in target.named_parameters() if (name == "bias") == is_bias):
            for mark in marks[:1]:
                kept = {key: value for key, value in mark.items() if all(key in other for other in marks)}
                vars(parameter).update(kept)
