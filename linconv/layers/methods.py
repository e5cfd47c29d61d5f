"""From the name of a method to its class, and from a variant's options to errors that a reader understands."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from linconv.config.errors import UserError
from linconv.config.methods import PLAIN, known_methods
from linconv.config.names import check_known, nearest
from linconv.layers.arguments import UnsupportedConvError
from linconv.layers.options import option_parameters
from linconv.layers.replacement import ConvReplacement

if TYPE_CHECKING:
    from linconv.config import Regularizer, Variant

KERNELS = (3, 1, 5, 7, 2)  # on which options are tried, the usual one first


@functools.cache
def method_class(name: str) -> type[ConvReplacement]:
    """The class of a method.

    Raises:
        UserError: its module or class cannot be imported, or it is no `ConvReplacement`.
        ValueError: an unknown name.
    """
    methods = known_methods()
    check_known([name], methods, "layer")
    target = methods[name].target
    try:
        found = methods[name].load()
    except Exception as error:
        raise UserError(
            f"the method '{name}' ({target}) cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, ConvReplacement)):
        raise UserError(f"the method '{name}' ({target}) is no subclass of linconv.layers.ConvReplacement")
    return found


def check_methods(variants: Mapping[str, Variant]) -> None:
    """Raise UserError, whose message begins with the key, where a variant's options are not those of its layer.

    Values are tried on convolutions of several kernel sizes, large enough for every method; some may be refused.
    """
    for name, variant in variants.items():
        if variant.layer == PLAIN:
            continue
        cls, options = method_class(variant.layer), variant.layer_options
        try:
            check_options(variant.layer, options)
            if variant.warm_start is not None:
                warm_start_init(variant)
            layer = _tried(cls, options)
            for regularizer in variant.regularizers:
                if regularizer.name != "coefficient_l1":
                    _check_acts(regularizer, variant.layer, layer)
        except UnsupportedConvError as error:
            raise UserError(f"define.{name}: no convolution can be replaced: {error}") from None
        except (ValueError, TypeError) as error:
            named = next((option for option in options if re.search(rf"\b{re.escape(option)}\b", str(error))), None)
            place = f"define.{name}.options.{named}" if named else f"define.{name}"
            raise UserError(f"{place}: {error}") from None


def _tried(cls: type[ConvReplacement], options: Mapping[str, Any]) -> ConvReplacement:
    """The layer in the place of the first of several convolutions that it can replace."""
    for side in KERNELS:
        try:
            return cls.from_conv2d(nn.Conv2d(256, 256, side, padding=side // 2, device="meta"), **options)
        except UnsupportedConvError as error:
            refused = error
    raise refused


def _check_acts(regularizer: Regularizer, name: str, layer: ConvReplacement) -> None:
    acts = layer.basis is not None if regularizer.acts_on == "primaries" else layer.folds
    if not acts:
        raise ValueError(f"{regularizer.name} would act on nothing: layer '{name}' has no {regularizer.acts_on}")


def check_options(layer: str, options: Mapping[str, Any]) -> None:
    """Raise ValueError for an option that the layer does not have, with the nearest one it has."""
    known = options_of(method_class(layer))
    for option in options:
        if option not in known:
            has = nearest(option, known) if known else "it has none"
            raise ValueError(f"layer '{layer}' has no option '{option}'; {has}")


def fitting_init(variant: Variant) -> str | None:
    """The `init` with which a variant's layer starts from the filters of a convolution: its own, or its method's first.

    None where the method has none.
    """
    fits = method_class(variant.layer).fits
    stated = variant.layer_options.get("init")
    return stated if stated in fits else next(iter(fits), None)


def warm_start_init(variant: Variant) -> str:
    """The `init` of a variant with a warm start.

    Raises:
        ValueError: its layer has no way to start from trained filters, or the variant asks for new ones.
    """
    init = fitting_init(variant)
    if init is None:
        raise ValueError(f"warm_start: layer '{variant.layer}' cannot start from trained filters; leave warm_start out")
    cls, stated = method_class(variant.layer), variant.layer_options.get("init")
    if stated not in (None, cls.inits[0], *cls.fits):
        raise ValueError(
            f"warm_start: options.init '{stated}' draws new filters, and a warm start has trained ones; leave one out"
        )
    return init


def options_of(cls: type[ConvReplacement]) -> dict[str, Any]:
    """The options of a method and their defaults."""
    return {parameter.name: parameter.default for parameter in option_parameters(cls.build)}
