"""Replacing the convolutions of any model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from linconv.catalogue.variants import BUILT_IN
from linconv.config.methods import PLAIN, known_methods
from linconv.config.names import check_known
from linconv.layers.copies import copied
from linconv.layers.forms import check_mode
from linconv.layers.methods import check_options, method_class
from linconv.layers.places import Place, places_of
from linconv.layers.progress import watched
from linconv.layers.replacement import ConvReplacement
from linconv.layers.replacing import (
    HOOKED,
    check_module,
    has_hooks,
    is_exported,
    refuse_hooks,
    refuse_wrappers,
    replace_modules,
)
from linconv.layers.selection import Choice, Selection, check_patterns, select

if TYPE_CHECKING:
    from linconv.config import Variant

log = logging.getLogger("linconv")


class Conversion(NamedTuple):
    """A converted model, and what was done.

    Attributes:
        model: the model that was given, a copy of it, or the layer that replaces it.
        layer: the name of the class of the new layers.
        selection: which convolutions were replaced, and why the others were not.
        redrawn: what to say of filters that were thrown away; None where they are not or were new themselves.
    """

    model: nn.Module
    layer: str
    selection: Selection
    redrawn: str | None = None

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.selection.text(self.layer), self.redrawn)))


def convert(
    model: nn.Module,
    variant: str | Variant = "L",
    *,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    skip_first: bool = False,
    skip_last: bool = False,
    only_where_saves: bool = False,
    inplace: bool = True,
    allow_nothing: bool = False,
    **options: Any,
) -> nn.Module:
    """Replace every `nn.Conv2d` of a model, in place, and return the model (or the layer that replaces `model` itself).

    Device, dtype, memory layout, train/eval state, frozen parameters and attributes that others wrote on the
    convolution or its parameters carry over; a module used in several places stays shared. Left plain, and reported as
    one WARNING of the logger "linconv" with numbers and reasons: subclasses of nn.Conv2d, convolutions whose weight is
    parametrized, made by a hook or shared with another module, and convolutions that the method cannot replace
    (LinearConv: too few filters to have a primary one). Nothing is replaced where an error is raised.

    The parameters are new ones: make an optimizer, an average of weights and DistributedDataParallel after this call.

    Args:
        variant: a variant (`L`, `Lr`, `LRr`, `LSr`, or `conv` for no change), a method (`tucker`, `ghost`, ...), or a
            `linconv.Variant`.
        include: patterns (`fnmatch`) of qualified module names; None takes all. A shared module has several names.
        exclude: patterns of names to leave plain.
        skip_first: leave the first convolution, in order of registration, plain.
        skip_last: leave the last one plain, such as the classifier of a network without a linear layer.
        only_where_saves: leave plain every convolution that would not lose parameters (LinearConv: D <= P, at low rank
            D <= r N / S).
        inplace: False leaves `model` as it is and returns a converted copy.
        allow_nothing: return the model as it is where no convolution is replaced, which is an error otherwise.
        options: of the layer, by keyword; they override the variant's. `LinearConv2d` has `primary_ratio`, `rank`,
            `sparsity`, `mode`, `init`. New filters are drawn by default, and a WARNING says so where batch
            normalization shows that the model is trained, and without batch normalization where no `init` is given; the
            `init` that starts from the filters of a trained model is "least_squares" for LinearConv and
            `wconv`, "svd" for low-rank layers.

    Raises:
        TypeError: `model` is no module, `variant` is neither, or patterns are no list of strings.
        ValueError: no convolution is replaced; an unknown variant, an option the layer does not have or out of its
            range, a pattern of the arguments that matches no convolution, a convolution with hooks (they would be
            lost), one that is lazy, or one whose filters an `init` cannot fit (NaN); a model inside
            DistributedDataParallel, FSDP, torch.compile or TorchScript.
    """
    choice = Choice(include, exclude, skip_first, skip_last, only_where_saves)
    done = conversion(model, variant, choice, inplace=inplace, allow_nothing=allow_nothing, **options)
    if done.layer != PLAIN:
        warn = done.selection.refused or done.redrawn
        log.log(logging.WARNING if warn else logging.INFO, "convert: %s", done)
    return done.model


def conversion(
    model: nn.Module,
    variant: str | Variant,
    choice: Choice = Choice(),  # noqa: B008  (immutable)
    *,
    inplace: bool = True,
    allow_nothing: bool = False,
    **options: Any,
) -> Conversion:
    """What `convert` does, and a report in place of the log."""
    check_module(model)
    new = _replacement(variant, options)
    if not inplace:
        model = copied(model)
    if new.layer == PLAIN:
        return Conversion(model, PLAIN, Selection({}, {}, []))
    layer_class, options = method_class(new.layer), dict(new.options)
    refuse_wrappers(model, (nn.Conv2d,), "convert")
    check_patterns(model, choice)
    selection = select(model, layer_class, options, _both(choice, new.choice))
    if not selection.replaced and not allow_nothing:
        raise ValueError(f"convert: {_nothing(model, selection)}; allow_nothing=True lets this pass")
    refuse_hooks((name, conv) for conv, name in selection.replaced.items())
    redrawn = _redrawn(model, layer_class, options, new.init_stated) if selection.replaced else None
    layers = _layers(model, layer_class, selection.replaced, options)
    return Conversion(replace_modules(model, layers), layer_class.__name__, selection, redrawn)


def replaceable(model: nn.Module, variant: str | Variant) -> Selection:
    """Which convolutions `convert` would replace by a variant, and why not the others; the model is left as it is.

    A convolution with hooks, for which `convert` raises, is among the others.

    Raises:
        TypeError: `variant` is no name and no variant.
        ValueError: what `convert` raises for an unknown or plain variant, a wrapped model or a lazy convolution.
    """
    new = _replacement(variant)
    if new.layer == PLAIN:
        raise ValueError(f"'{PLAIN}' is the plain convolution, which replaces nothing; name a variant or a method")
    refuse_wrappers(model, (nn.Conv2d,), "convert")
    found = select(model, method_class(new.layer), new.options, new.choice)
    hooked = {name: f"it {HOOKED}" for conv, name in found.replaced.items() if has_hooks(conv)}
    kept = {conv: name for conv, name in found.replaced.items() if name not in hooked}
    return found._replace(replaced=kept, refused=found.refused | hooked)


def replaced_layers(model: nn.Module) -> list[str]:
    """The names of the layers that took the place of convolutions, in order of registration."""
    check_module(model)
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
    check_module(model)
    check_mode(mode)
    for module in model.modules():
        if isinstance(module, ConvReplacement):
            module.mode = mode if mode in ("auto", *module.forms) else module.forms[0]
    return model


class _Replacement(NamedTuple):
    """What replaces convolutions, and which."""

    layer: str
    options: Mapping[str, Any]
    choice: Choice = Choice()
    init_stated: bool = False


def _replacement(variant: object, more: Mapping[str, Any] = MappingProxyType({})) -> _Replacement:
    """What a variant replaces, or the name of a built-in variant or a method, which need no pydantic.

    Args:
        more: options that override the variant's.

    Raises:
        TypeError: it is neither a name nor a variant.
        ValueError: an unknown name or option, or a variant that is more than layers.
    """
    new = _named_replacement(variant)
    if new.layer == PLAIN:
        if more:
            raise ValueError(f"the plain convolution has no option '{next(iter(more))}'")
        return new
    layer_class, options = method_class(new.layer), {**new.options, **more}
    stated = new.init_stated or "init" in more
    check_options(new.layer, options)
    if layer_class.inits:  # LinearConv2d.from_conv2d alone would start from the given filters
        options = {"init": layer_class.inits[0]} | options
    return new._replace(options=options, init_stated=stated)


def _named_replacement(variant: object) -> _Replacement:
    if isinstance(variant, str):
        check_known([variant], [*BUILT_IN, *known_methods()], "variant")
        definition = BUILT_IN.get(variant, {"layer": variant})
        return _Replacement(definition["layer"], definition.get("options", {}))
    if not hasattr(variant, "layer_options"):
        raise TypeError(f"variant must be a name, such as 'L' or 'tucker', or a linconv.Variant, not {variant!r}")
    given: Variant = variant  # type: ignore[assignment]
    if given.narrow_to is not None:
        raise ValueError("a narrow variant is built, not converted: linconv.build_model(architecture, variant)")
    if given.pruning is not None or given.warm_start is not None:
        raise ValueError(
            "pruning and warm_start happen while a network is trained (`linconv train`); to start from the filters of "
            'a trained model, name the layer and its `init`, such as "svd"'
        )
    where = Choice(given.include, given.exclude, given.skip_first, given.skip_last, given.only_where_saves)
    stated = given.options is not None and "init" in given.options.model_fields_set
    return _Replacement(given.layer, given.layer_options, where, stated)


def _both(choice: Choice, variants: Choice) -> Choice:
    """The choice of the arguments with that of the variant, whose patterns need not match a convolution."""
    return Choice(
        variants.include if choice.include is None else choice.include,
        (*choice.exclude, *variants.exclude),
        choice.skip_first or variants.skip_first,
        choice.skip_last or variants.skip_last,
        choice.only_where_saves or variants.only_where_saves,
    )


def _nothing(model: nn.Module, selection: Selection) -> str:
    """Why nothing is replaced."""
    if selection.refused or selection.unwanted:
        return f"no convolution is replaced: {'; '.join(selection.left())}"
    if is_exported(model):
        return "a program of torch.export has no nn.Conv2d; convert the model before torch.export"
    if there := replaced_layers(model):
        return f"the model has no nn.Conv2d, {len(there)} layers replaced them already; linconv.fold gives them back"
    return "the model has no nn.Conv2d to replace"


def _redrawn(
    model: nn.Module, layer_class: type[ConvReplacement], options: Mapping[str, Any], init_stated: bool
) -> str | None:
    """What to say where new filters replace trained ones, or ones that may be trained."""
    fits = layer_class.fits
    if options.get("init") in fits or all(parameter.is_meta for parameter in model.parameters()):
        return None
    statistics = [buffer for name, buffer in model.named_buffers() if name.rpartition(".")[2] == "running_mean"]
    if any(not (buffer.is_meta or nn.parameter.is_lazy(buffer)) and bool(buffer.any()) for buffer in statistics):
        remedy = f"init={fits[0]!r} starts from them" if fits else f"{layer_class.__name__} cannot start from them"
        return f"the model is trained (its batch norms have seen batches) and its filters are drawn anew: {remedy}"
    if statistics or init_stated:  # new batch norms are those of a new model
        return None
    if not fits:
        return f"the filters are drawn anew: {layer_class.__name__} cannot start from trained ones"
    new = f", and init={layer_class.inits[0]!r} says that new ones are wanted" if layer_class.inits else ""
    return f"the filters are drawn anew: init={fits[0]!r} starts from those of a trained model{new}"


def _layers(
    model: nn.Module,
    layer_class: type[ConvReplacement],
    convs: Mapping[nn.Conv2d, str],
    options: Mapping[str, Any],
) -> dict[nn.Conv2d, ConvReplacement]:
    """The new layers; where making them takes long, the log says how far it is."""
    depends = any("options_at" in vars(cls) for cls in layer_class.mro() if cls is not ConvReplacement)
    places = places_of(model) if depends else {}
    layers = {}
    for conv, name in watched(convs.items(), "convert", len(convs)):
        here = layer_class.options_at(places.get(conv, Place()), options)
        try:
            layers[conv] = layer_class.from_conv2d(conv, **here)
        except ValueError as error:
            raise type(error)(f"{name}: {error}" if name else str(error)) from error
    with torch.no_grad():
        layer_class.share_(layers, options.get("init"))
    return layers
