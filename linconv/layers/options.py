"""The options of a method: the keyword-only arguments of its `build`, their defaults and the rules of their types."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from linconv.config.names import nearest
from linconv.config.rules import Rule


def option_parameters(build: Callable[..., Any]) -> list[inspect.Parameter]:
    """The keyword-only parameters of a method's `build`.

    Raises:
        TypeError: an option is not keyword-only, or has no default.
    """
    _, _, *own = inspect.signature(build).parameters.values()  # self and factory first
    for parameter in own:
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.default is parameter.empty:
            raise TypeError(
                f"{build.__qualname__}: write the option '{parameter.name}' after a * and give it a default"
            )
    return own


def check_options(owner: str, build: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise for the first option that a method does not have, or whose value its annotation does not allow.

    An annotation says what is allowed: `bool`, a `Literal`, or an `Annotated` type with a `Rule`, each also `| None`.
    Any other annotation allows every value.

    Raises:
        TypeError: the method has no option of that name.
        ValueError: the value is not allowed; the message names the option and the value.
    """
    known = [parameter.name for parameter in option_parameters(build)]
    for name in options:
        if name not in known:
            raise TypeError(f"{owner} has no option '{name}'; {nearest(name, known) if known else 'it has none'}")
    hints = _hints(build)
    for name, value in options.items():
        if name in hints:
            _check(name, value, hints[name])


def check_init(init: Any, inits: tuple[str, ...], fits: tuple[str, ...]) -> None:
    """Raise ValueError unless `init` is one of `inits`; one of `fits` needs the filters of a given convolution."""
    if init in fits:
        raise ValueError(f"init {init!r} starts from the filters of a given convolution: use from_conv2d or convert")
    if init not in inits:
        raise ValueError(f"init must be one of {', '.join((*inits, *fits))}, not {init!r}")


def several_names(names: Any, what: str, example: str, kinds: tuple[type, ...] = (str,)) -> tuple[Any, ...]:
    """Several names as a tuple; raises TypeError for one string, which would be taken for the list of its letters.

    Args:
        what: is named, the beginning of the message, such as "forms: a list of forms".
        example: a name that is valid.
        kinds: what a name may be.
    """
    found = tuple(names) if isinstance(names, Iterable) and not isinstance(names, str) else (None,)
    if not all(isinstance(name, kinds) for name in found):
        raise TypeError(f"{what} is expected, such as [{example!r}], not {names!r}")
    return found


@functools.cache
def _hints(build: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(build, include_extras=True)


def _check(name: str, value: Any, hint: Any) -> None:
    if get_origin(hint) in (Union, types.UnionType):
        members = get_args(hint)
        if value is None and type(None) in members:
            return
        members = tuple(member for member in members if member is not type(None))
        if len(members) > 1:
            return
        (hint,) = members
    if get_origin(hint) is Annotated:
        for rule in hint.__metadata__:
            if isinstance(rule, Rule):
                rule.check(name, value)
    elif get_origin(hint) is Literal and value not in get_args(hint):
        raise ValueError(f"{name} must be one of {', '.join(map(str, get_args(hint)))}, not {value!r}")
    elif hint is bool and not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, not {value!r}")
