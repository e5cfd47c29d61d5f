"""A model as JSON: the class and the plain attributes of every module, and the names of its tensors.

What cannot be said in JSON (a class defined in a function, an attribute that holds a function or a tensor, a hook)
makes its module opaque: it is then taken from a model that the reader of the file gives.
"""

from __future__ import annotations

import logging
import math
import sys
import types
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from linconv.layers.geometry import asks_for_channels_last
from linconv.layers.replacing import modules_and_tensors

log = logging.getLogger("linconv")

FORMAT_VERSION: Literal[1] = 1
STATE = frozenset(vars(nn.Module()))  # what every module has: tensors, children, hooks
_COMPILED = "_compiled_call_impl"  # what `module.compile()` leaves
LOST = "values that are not in the file"
HOOKED = "has hooks, which a file does not hold"
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stored(_Strict):
    """A parameter or buffer: the name of its tensor in the file, and what a tensor of a file does not say."""

    tensor: str
    channels_last: bool = False
    frozen: bool = False
    transient: bool = False


class Module(_Strict):
    """One module. `opaque` says why it cannot be rebuilt without a model at hand; `attributes` are those JSON can hold.

    `children` are names within `Description.modules`; a module that is registered twice has one entry.
    """

    cls: Annotated[str, Field(alias="class", pattern=r"^[\w.<>]+:[\w.<>]+$")]
    attributes: dict[str, Any] = {}
    opaque: str | None = None
    training: bool = False
    parameters: dict[str, Stored | None] = {}
    buffers: dict[str, Stored | None] = {}
    children: dict[str, str | None] = {}


class Description(_Strict):
    """The JSON beside the tensors. `modules` has the model itself under the name ""."""

    format: Literal["linconv"]
    format_version: Literal[1]
    linconv: str
    torch: str
    modules: dict[str, Module]


class Undescribable(ValueError):  # noqa: N818  (a reason, caught where it is raised)
    """A value that JSON cannot hold."""


def describe(model: nn.Module) -> tuple[dict[str, Module], dict[str, Tensor]]:
    """Every module of a model by its first name, and the tensors by the names that the modules use.

    Raises:
        ValueError: a module of linconv has hooks, which no file holds, or a tensor has no values.
    """
    first = {module: name for name, module in model.named_modules()}
    held = {*first, *model.parameters(), *model.buffers()}
    tensors: dict[str, Tensor] = {}
    names: dict[int, str] = {}

    def stored(owner: str, name: str, tensor: Tensor | None, transient: bool = False) -> Stored | None:
        if tensor is None:
            return None
        full = f"{owner}.{name}" if owner else name
        key = names.setdefault(id(tensor), full)  # a tensor in several places is stored once
        tensors.setdefault(key, tensor)
        last = asks_for_channels_last(tensor)
        frozen = isinstance(tensor, nn.Parameter) and not tensor.requires_grad
        return Stored(tensor=key, channels_last=last, frozen=frozen, transient=transient)

    found = {}
    for module, owner in first.items():
        said = _say_module(module, held)
        if any(getattr(module, hooks) for hooks in _HOOKS):
            if type(module).__module__.startswith("linconv."):  # no plain model has it, with hooks of its own
                raise ValueError(f"{owner or 'the model'} {HOOKED}; remove them before saving")
            said["opaque"] = HOOKED
        found[owner] = Module(
            **{"class": path_of(type(module))},
            **said,
            training=module.training,
            parameters={n: stored(owner, n, p) for n, p in module._parameters.items()},
            buffers={
                n: stored(owner, n, b, n in module._non_persistent_buffers_set) for n, b in module._buffers.items()
            },
            children={n: None if child is None else first[child] for n, child in module._modules.items()},
        )
    return found, tensors


def warn_of_opaque(file: Path, modules: Mapping[str, Module]) -> None:
    """Say in the log which modules of a file need a model to load them, while the code that made them is at hand."""
    if hooked := [name or "the model" for name, said in modules.items() if said.opaque == HOOKED]:
        log.warning(
            "save: the hooks of %s%s are not in the file; loaded, it has the hooks of the model that linconv.load is "
            "given",
            hooked[0],
            f" and of {len(hooked) - 1} more" if hooked[1:] else "",
        )
    opaque = {name or "the model": said.opaque for name, said in modules.items() if said.opaque}
    if lost := [name for name, reason in opaque.items() if reason.endswith(LOST)]:
        log.warning(
            "save: %s%s: %s; loaded, it has those of the model that linconv.load is given",
            lost[0],
            f" and {len(lost) - 1} more" if lost[1:] else "",
            opaque[lost[0]],
        )
    if opaque:
        first = next(iter(opaque))
        log.warning(
            "save: %s loads with its plain model alone, linconv.load(file, model), for %d of its modules (%s%s): %s",
            file,
            len(opaque),
            first,
            ", …" if len(opaque) > 1 else "",
            opaque[first],
        )


def path_of(thing: Any) -> str:
    """ "module:name" of a class or function."""
    return f"{thing.__module__}:{thing.__qualname__}"


def find(path: str) -> Any:
    """What "module:name" names among the modules that are imported already, or None."""
    module, _, name = path.partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _say_module(module: nn.Module, held: Set[object]) -> dict[str, Any]:
    """The attributes of a module that JSON can hold, and why it is opaque where that is not all.

    Args:
        held: the modules and tensors that the file holds.
    """
    cls = type(module)
    unnamed = cls.__module__ == "__main__" or find(path_of(cls)) is not cls
    reasons = [f"its class {cls.__qualname__} cannot be imported by name"] if unnamed else []
    keeps_more = cls.get_extra_state is not nn.Module.get_extra_state
    attributes = {}
    for name, value in vars(module).items():
        if name in STATE or name == _COMPILED:
            continue
        try:
            attributes[name] = say(value)
        except Undescribable as error:
            leaves = list(modules_and_tensors(value))
            if any(leaf not in held for leaf in leaves) or (keeps_more and not leaves):
                reasons.insert(0, f"its attribute '{name}' holds {LOST}")
            else:
                reasons.append(f"its attribute '{name}' holds {error}")
    return {"attributes": attributes, "opaque": next(iter(reasons), None)}


def say(value: Any) -> Any:
    """A plain value in JSON.

    Raises:
        Undescribable: it is none.
    """
    match value:
        case None | bool() | int() | str() if type(value) in (type(None), bool, int, str):
            return value
        case float() if type(value) is float:
            return value if math.isfinite(value) else {"float": str(value)}
        case torch.dtype():
            return {"dtype": str(value).removeprefix("torch.")}
        case torch.Size():
            return {"size": list(value)}
        case list() if type(value) is list:
            return [say(v) for v in value]
        case tuple() if type(value) is tuple:
            return {"tuple": [say(v) for v in value]}
        case dict() if type(value) is dict and all(isinstance(key, str) for key in value):
            return {"dict": {key: say(v) for key, v in value.items()}}
    if isinstance(value, tuple) and hasattr(value, "_fields") and find(path_of(type(value))) is type(value):
        return {"named": path_of(type(value)), "values": [say(v) for v in value]}
    if isinstance(value, type) and issubclass(value, nn.Module) and find(path_of(value)) is value:
        return {"class": path_of(value)}
    if (name := _torch_function(value)) is not None:
        return {"function": name}
    raise Undescribable(f"a {type(value).__name__}")


def unsay(said: Any, classes: Any) -> Any:
    """The value that `say` said.

    Args:
        classes: gives the class of a path, a subclass of another one, or raises.

    Raises:
        ValueError: nothing that `say` says.
    """
    if isinstance(said, list):
        return [unsay(v, classes) for v in said]
    if not isinstance(said, dict):
        return said
    match said:
        case {"float": "inf" | "-inf" | "nan" as number, **rest} if not rest:
            return float(number)
        case {"dtype": str(name), **rest} if not rest and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        case {"size": list(sizes), **rest} if not rest:
            return torch.Size(sizes)
        case {"tuple": list(values), **rest} if not rest:
            return tuple(unsay(v, classes) for v in values)
        case {"dict": dict(values), **rest} if not rest:
            return {key: unsay(v, classes) for key, v in values.items()}
        case {"class": str(path), **rest} if not rest:
            return classes(path, nn.Module)
        case {"named": str(path), "values": list(values), **rest} if not rest:
            return classes(path, tuple)(*(unsay(v, classes) for v in values))
        case {"function": str(name), **rest} if not rest and (function := _function_of_torch(name)) is not None:
            return function
    raise ValueError(f"unknown value {str(said)[:60]}")


def _torch_function(value: Any) -> str | None:
    name = getattr(value, "__name__", "")
    for place in ("torch", "torch.nn.functional"):
        if name and _function_of_torch(f"{place}:{name}") is value:
            return f"{place}:{name}"
    return None


def _function_of_torch(path: str) -> Any:
    """A function of tensors that torch or torch.nn.functional names, or None. torch has others, such as `load`."""
    place, _, name = path.partition(":")
    if place not in ("torch", "torch.nn.functional") or name.startswith("_"):
        return None
    found = getattr(sys.modules[place], name, None)
    if isinstance(found, types.BuiltinFunctionType):
        return found
    own = isinstance(found, types.FunctionType) and found.__module__ == place == "torch.nn.functional"
    return found if own else None
