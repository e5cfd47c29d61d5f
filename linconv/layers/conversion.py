"""Replacing the convolutions of any model, and folding them back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from linconv.config import VARIANTS, Variant
from linconv.config.names import check_known
from linconv.layers.linear_conv import LinearConv2d, geometry

# Layer names of the configuration -> the class that replaces nn.Conv2d. A class brings `from_conv2d(conv, **options)`,
# `to_conv2d()` where it folds, and `params_expected`.
LAYERS: dict[str, type[LinearConv2d]] = {"linear": LinearConv2d}
FOLDABLE = tuple(layer for layer in LAYERS.values() if hasattr(layer, "to_conv2d"))


def convert(
    model: nn.Module,
    variant: str | Variant = "L",
    *,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    skip_first: bool = False,
    only_where_saves: bool = False,
    **options: Any,
) -> nn.Module:
    """Replace every `nn.Conv2d` of a model, in place, and return the model (or the layer that replaces `model` itself).

    Device, dtype, train/eval state and whether parameters are frozen carry over; a module used in several places stays shared. Subclasses of
    nn.Conv2d, parametrized ones among them, are left alone, and so is a convolution with too few filters to have a
    primary one.

    Args:
        variant: a name (`conv`, `L`, `Lr`, `LRr`, `LSr`) or a `linconv.config.Variant`.
        include: patterns (`fnmatch`) of qualified module names; None takes all.
        exclude: patterns of names to leave plain.
        skip_first: leave the first convolution, in order of registration, plain.
        only_where_saves: leave plain whatever would not lose parameters: D <= P, at low rank D <= r N / S.
        options: override the variant's: `primary_ratio`, `rank`, `sparsity`, `mode`, `init`. `init` is "paper" by
            default, which draws new filters; "least_squares" starts from the model's own, for a trained model.

    Raises:
        ValueError: an unknown variant, an option out of its range, or a pattern that matches no convolution.
    """
    variant = _variant(variant)
    if variant.layer == "conv":
        return model
    layer_class = LAYERS[variant.layer]
    options = (variant.options.model_dump() if variant.options else {}) | options
    names = _selected(
        model,
        include=include if include is not None else variant.include,
        exclude=(*exclude, *variant.exclude),
        skip_first=skip_first or variant.skip_first,
    )
    saves_only = only_where_saves or variant.only_where_saves

    def replacement(name: str, module: nn.Module) -> nn.Module:
        if name not in names or not isinstance(module, nn.Conv2d):
            return module
        if int(options["primary_ratio"] * module.out_channels) < 1:
            return module
        if saves_only and not _saves(layer_class, module, options):
            return module
        return layer_class.from_conv2d(module, **options)

    return _replace(model, replacement)


def fold(model: nn.Module, *, inplace: bool = False) -> nn.Module:
    """The plain model with the same outputs: every layer that knows its plain convolution is replaced by it.

    Args:
        inplace: change and return `model` itself instead of a copy.
    """
    if not inplace:
        model = copy.deepcopy(model)
    return _replace(model, lambda _, module: module.to_conv2d() if isinstance(module, FOLDABLE) else module)


def set_mode(model: nn.Module, mode: str) -> nn.Module:
    """Set the mode of every `LinearConv2d` and return the model; grouped ones, for which only the weight-space form is
    exact, take "weight" where "feature" is asked for.

    Raises:
        ValueError: an unknown mode.
    """
    for module in model.modules():
        if isinstance(module, LinearConv2d):
            module.mode = "weight" if mode == "feature" and module.groups > 1 else mode
    return model


def _variant(variant: str | Variant) -> Variant:
    if isinstance(variant, Variant):
        return variant
    check_known([variant], VARIANTS, "variant")
    return VARIANTS[variant]


def _convolutions(model: nn.Module) -> Iterator[tuple[str, nn.Conv2d]]:
    # remove_duplicate=False: a shared convolution is reached under each of its names
    for name, module in model.named_modules(remove_duplicate=False):
        if type(module) is nn.Conv2d:
            yield name, module


def _selected(model: nn.Module, *, include: Sequence[str] | None, exclude: Sequence[str], skip_first: bool) -> set[str]:
    names = [name for name, _ in _convolutions(model)]
    for pattern in (*(include or ()), *exclude):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"pattern {pattern!r} matches no convolution of the model; it has {', '.join(names[:4])}, …"
            )
    if skip_first:
        names = names[1:]
    if include is not None:
        names = [n for n in names if any(fnmatchcase(n, p) for p in include)]
    return {n for n in names if not any(fnmatchcase(n, p) for p in exclude)}


def _saves(layer_class: type[LinearConv2d], conv: nn.Conv2d, options: dict[str, Any]) -> bool:
    blank = nn.Conv2d(**geometry(conv), bias=conv.bias is not None, device="meta")
    candidate = layer_class.from_conv2d(blank, **options | {"init": "paper"})
    return candidate.params_expected < sum(p.numel() for p in conv.parameters())


def _replace(model: nn.Module, replacement: Callable[[str, nn.Module], nn.Module]) -> nn.Module:
    done: dict[int, nn.Module] = {}

    def visit(module: nn.Module, name: str) -> nn.Module:
        if id(module) not in done:
            done[id(module)] = module  # set first: a module that contains itself ends here
            new = replacement(name, module) if type(module) in (nn.Conv2d, *LAYERS.values()) else module
            done[id(module)] = new
            if new is module:
                for child_name, child in module.named_children():
                    setattr(module, child_name, visit(child, f"{name}.{child_name}" if name else child_name))
        return done[id(module)]

    return visit(model, "")
