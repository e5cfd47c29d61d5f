"""Which convolutions of a model a method replaces, and why it leaves the others plain."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from torch import nn

from linconv.layers.arguments import UnsupportedConvError
from linconv.layers.geometry import contradiction, geometry
from linconv.layers.options import several_names
from linconv.layers.replacement import PLAIN_ATTRIBUTES, ConvReplacement
from linconv.layers.replacing import replaced_method, tied


class Choice(NamedTuple):
    """What the arguments of `convert` say about the convolutions of a model.

    Attributes:
        include, exclude: patterns of names; None includes all.
        skip_first, skip_last: whether the first and the last convolution stay plain.
        only_where_saves: whether convolutions that would not lose parameters stay plain.
    """

    include: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    skip_first: bool = False
    skip_last: bool = False
    only_where_saves: bool = False


class Selection(NamedTuple):
    """The convolutions of a model, sorted.

    Attributes:
        replaced: those to replace, each with its first name.
        refused: the names of those that cannot be replaced, and why.
        unwanted: the names of those that the arguments leave plain.
    """

    replaced: dict[nn.Conv2d, str]
    refused: dict[str, str]
    unwanted: list[str]

    def text(self, layer: str) -> str:
        """How many are replaced, and how many are not, by reason."""
        total = len(self.replaced) + len(self.refused) + len(self.unwanted)
        return "; ".join([f"{len(self.replaced)} of {total} convolutions replaced by {layer}", *self.left()])

    def left(self) -> list[str]:
        """How many are not replaced, by reason."""
        asked = [f"{len(self.unwanted)} left plain as asked"] if self.unwanted else []
        return [*left_plain(self.refused), *asked]


def left_plain(reasons: Mapping[str, str]) -> list[str]:
    """How many convolutions stay plain, the first of them, and why: a line for each reason, the most frequent first.

    Reasons that differ in their values alone, such as `groups`, are one; the first convolution's is said.
    """
    alike: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        alike.setdefault(re.sub(r"\d+", "", reason), []).append(name)
    lines = []
    for names in sorted(alike.values(), key=len, reverse=True):
        example = f" ({names[0] or 'the model'}{', …' if len(names) > 1 else ''})"
        lines.append(f"{len(names)} left plain{example}: {reasons[names[0]]}")
    return lines


def select(
    model: nn.Module, layer_class: type[ConvReplacement], options: Mapping[str, Any], choice: Choice
) -> Selection:
    """Sort the convolutions of a model; raises ValueError for a lazy one."""
    named = _convolutions(model)
    first_names: dict[nn.Conv2d, str] = {}
    for name, conv in named:
        first_names.setdefault(conv, name)
    wanted = _wanted(named, choice)
    shared = tied(model)
    replaced, refused, unwanted = {}, {}, []
    for conv, name in first_names.items():
        if conv not in wanted:
            unwanted.append(name)
        elif reason := _unfit(conv, shared) or _refusal(layer_class, conv, options):
            refused[name] = reason
        elif choice.only_where_saves and not _saves(layer_class, conv, options):
            unwanted.append(name)
        else:
            replaced[conv] = name
    return Selection(replaced, refused, unwanted)


def _convolutions(model: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    """Every convolution in order of registration, a shared one under each of its names; none of inside a new layer."""
    inside = {m for layer in model.modules() if isinstance(layer, ConvReplacement) for m in layer.modules()}
    found = []
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, nn.LazyConv2d):
            raise ValueError(f"{name} is lazy and has no filters yet; pass a batch through the model first")
        if isinstance(module, nn.Conv2d) and module not in inside:
            found.append((name, module))
    return found


def _wanted(named: list[tuple[str, nn.Conv2d]], choice: Choice) -> set[nn.Conv2d]:
    included = {conv for name, conv in named if choice.include is None or _matches(name, choice.include)}
    excluded = {conv for name, conv in named if _matches(name, choice.exclude)}
    first = {conv for _, conv in named[:1] if choice.skip_first}
    last = {conv for _, conv in named[-1:] if choice.skip_last}
    return included - excluded - first - last


def check_patterns(model: nn.Module, choice: Choice) -> None:
    """Check the patterns of a choice.

    Raises:
        TypeError: they are no sequence of strings.
        ValueError: one matches no convolution.
    """
    for patterns in (choice.include or (), choice.exclude):
        several_names(patterns, "include and exclude: a list of patterns", "layer1.*")
    names = [name for name, _ in _convolutions(model)]
    for pattern in (*(choice.include or ()), *choice.exclude):
        if not any(fnmatchcase(name, pattern) for name in names):
            known = f"it has {', '.join(names[:4])}, …" if names else "it has none"
            raise ValueError(f"pattern {pattern!r} matches no convolution of the model; {known}")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _unfit(conv: nn.Conv2d, shared: Mapping[nn.Module, str]) -> str | None:
    """Why a convolution is more than its arguments and its filters, so that no other layer can stand in for it."""
    if nn.utils.parametrize.is_parametrized(conv):
        return "its weight is parametrized; remove the parametrization first"
    if type(conv) is not nn.Conv2d:
        return f"it is a {type(conv).__name__}, a subclass of nn.Conv2d that may compute something else"
    if "weight" not in conv._parameters:
        return "its weight is made by a hook (weight norm, spectral norm or pruning); remove the hook first"
    if method := replaced_method(conv):
        return f"its {method} was replaced"
    if conv._modules or conv._buffers or conv._parameters.keys() - {"weight", "bias"}:
        return "it has modules, parameters or buffers of its own"
    if reason := contradiction(conv):
        return reason
    if conv in shared:
        return "it shares its parameters with another module"
    return None


def _refusal(layer_class: type[ConvReplacement], conv: nn.Conv2d, options: Mapping[str, Any]) -> str | None:
    try:
        blank(layer_class, conv, options)
    except UnsupportedConvError as error:
        return str(error)
    return None


def _saves(layer_class: type[ConvReplacement], conv: nn.Conv2d, options: Mapping[str, Any]) -> bool:
    return blank(layer_class, conv, options).params_expected < sum(p.numel() for p in conv.parameters())


def blank(layer_class: type[ConvReplacement], conv: nn.Conv2d, options: Mapping[str, Any]) -> ConvReplacement:
    """The layer that would replace the convolution, without memory."""
    like = nn.Conv2d(**geometry(conv), bias=conv.bias is not None, device="meta", dtype=conv.weight.dtype)
    vars(like).update({name: value for name, value in vars(conv).items() if name not in PLAIN_ATTRIBUTES})
    return layer_class.from_conv2d(like, **options)
