"""Replacing the convolutions of any model, and folding them back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from linconv.config import VARIANTS, Variant
from linconv.config.methods import PLAIN
from linconv.config.names import check_known
from linconv.layers.arguments import UnsupportedConvError
from linconv.layers.copies import copied
from linconv.layers.forms import check_mode
from linconv.layers.geometry import geometry
from linconv.layers.methods import check_options, method_class
from linconv.layers.replacement import ConvReplacement

log = logging.getLogger("linconv")


def convert(
    model: nn.Module,
    variant: str | Variant = "L",
    *,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    skip_first: bool = False,
    skip_last: bool = False,
    only_where_saves: bool = False,
    **options: Any,
) -> nn.Module:
    """Replace every `nn.Conv2d` of a model, in place, and return the model (or the layer that replaces `model` itself).

    Device, dtype, memory layout, train/eval state and whether parameters are frozen carry over; a module used in
    several places stays shared. Left alone: subclasses of nn.Conv2d, convolutions whose weight is parametrized,
    normalized or pruned, and convolutions that the method cannot replace (LinearConv: too few filters to have a
    primary one), for the reason that is logged. Nothing is replaced where an error is raised.

    Args:
        variant: a name (`conv`, `L`, `Lr`, `LRr`, `LSr`) or a `linconv.config.Variant`.
        include: patterns (`fnmatch`) of qualified module names; None takes all. A shared module has several names.
        exclude: patterns of names to leave plain.
        skip_first: leave the first convolution, in order of registration, plain.
        skip_last: leave the last one plain, such as the classifier of a network without a linear layer.
        only_where_saves: leave plain every convolution that would not lose parameters (LinearConv: D <= P, at low rank
            D <= r N / S).
        options: of the layer, by keyword; they override the variant's. `LinearConv2d` has `primary_ratio`, `rank`,
            `sparsity`, `mode`, `init`. New filters are drawn by default; the `init` that starts from the filters of a
            trained model is "least_squares" for LinearConv, "svd" for low-rank layers.

    Raises:
        ValueError: an unknown variant, an option the layer does not have or out of its range, a pattern of the
            arguments that matches no convolution, a convolution with hooks (they would be lost) or one that is lazy.
    """
    variant = _variant(variant)
    if variant.narrow_to is not None:
        raise ValueError("a narrow variant is built, not converted: linconv.build_model(architecture, variant)")
    if variant.pruning is not None or variant.warm_start is not None:
        raise ValueError(
            "pruning and warm_start happen while a network is trained (`linconv train`); to start from the filters of "
            'a trained model, name the layer and its `init`, such as "svd"'
        )
    if variant.layer == PLAIN:
        if options:
            raise ValueError(f"the plain convolution has no option '{next(iter(options))}'")
        return model
    layer_class = method_class(variant.layer)
    options = variant.layer_options | options
    check_options(variant.layer, options)
    if layer_class.inits:  # LinearConv2d.from_conv2d alone would start from the given filters
        options = {"init": layer_class.inits[0]} | options
    named = _convolutions(model)
    _check_patterns((*(include or ()), *exclude), [name for name, _ in named])
    include = include if include is not None else variant.include
    exclude = (*exclude, *variant.exclude)
    first = [conv for _, conv in named[:1] if skip_first or variant.skip_first]
    last = [conv for _, conv in named[-1:] if skip_last or variant.skip_last]
    wanted = _chosen(named, include, exclude, (*first, *last))
    wanted = {conv: name for conv, name in wanted.items() if not _refused(layer_class, conv, name, options)}
    if only_where_saves or variant.only_where_saves:
        wanted = {conv: name for conv, name in wanted.items() if _saves(layer_class, conv, options)}
    for conv, name in wanted.items():
        if conv._forward_hooks or conv._forward_pre_hooks or conv._backward_hooks or conv._backward_pre_hooks:
            raise ValueError(f"{name} has hooks, which the new layer would not have; remove them or exclude {name!r}")
    return replace_modules(model, {conv: layer_class.from_conv2d(conv, **options) for conv in wanted})


def fold(model: nn.Module, *, inplace: bool = False) -> nn.Module:
    """The plain model with the same outputs: every layer that knows its plain convolution is replaced by it.

    Args:
        inplace: change and return `model` itself instead of a copy.
    """
    if not inplace:
        model = copied(model)
    return replace_modules(
        model, {m: m.to_conv2d() for m in model.modules() if isinstance(m, ConvReplacement) and m.folds}
    )


def replaced_layers(model: nn.Module) -> list[str]:
    """The names of the layers that took the place of convolutions, in order of registration."""
    found: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, ConvReplacement) and not any(name.startswith(f"{outer}.") for outer in found):
            found.append(name)
    return found


def set_mode(model: nn.Module, mode: str) -> nn.Module:
    """Set the form in which every replaced convolution runs, "weight", "feature" or "auto", and return the model.

    A layer that does not have that form keeps its own: a grouped LinearConv runs in weight space alone.

    Raises:
        ValueError: an unknown mode.
    """
    check_mode(mode)
    for module in model.modules():
        if isinstance(module, ConvReplacement):
            module.mode = mode if mode in ("auto", *module.forms) else module.forms[0]
    return model


def _variant(variant: str | Variant) -> Variant:
    if isinstance(variant, Variant):
        return variant
    check_known([variant], VARIANTS, "variant")
    return VARIANTS[variant]


def _convolutions(model: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    """Every replaceable convolution in order of registration, a shared one under each of its names."""
    found = []
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, nn.LazyConv2d):
            raise ValueError(f"{name} is lazy and has no filters yet; pass a batch through the model first")
        # weight norm, spectral norm and pruning of the old kind keep the type but make the weight anew in a hook
        if type(module) is nn.Conv2d and "weight" in module._parameters:
            found.append((name, module))
    return found


def _chosen(
    named: list[tuple[str, nn.Conv2d]],
    include: Sequence[str] | None,
    exclude: Sequence[str],
    plain: Sequence[nn.Conv2d],
) -> dict[nn.Conv2d, str]:
    """The convolutions that the patterns choose, each under its first name, without those that stay plain."""
    chosen: dict[nn.Conv2d, str] = {}
    for name, conv in named:
        if include is None or _matches(name, include):
            chosen.setdefault(conv, name)
    for name, conv in named:
        if conv in plain or _matches(name, exclude):
            chosen.pop(conv, None)
    return chosen


def _check_patterns(patterns: Sequence[str], names: list[str]) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            known = f"it has {', '.join(names[:4])}, …" if names else "it has none"
            raise ValueError(f"pattern {pattern!r} matches no convolution of the model; {known}")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _blank(layer_class: type[ConvReplacement], conv: nn.Conv2d, options: dict[str, Any]) -> ConvReplacement:
    """The layer that would replace the convolution, without memory."""
    blank = nn.Conv2d(**geometry(conv), bias=conv.bias is not None, device="meta")
    return layer_class.from_conv2d(blank, **options)


def _refused(layer_class: type[ConvReplacement], conv: nn.Conv2d, name: str, options: dict[str, Any]) -> bool:
    try:
        _blank(layer_class, conv, options)
    except UnsupportedConvError as error:
        log.info("%s stays plain: %s", name, error)
        return True
    return False


def _saves(layer_class: type[ConvReplacement], conv: nn.Conv2d, options: dict[str, Any]) -> bool:
    return _blank(layer_class, conv, options).params_expected < sum(p.numel() for p in conv.parameters())


def replace_modules(model: nn.Module, replacements: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Put each replacement wherever its original is registered."""
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child is not None and child in replacements:
                setattr(parent, name, replacements[child])
    return replacements.get(model, model)
