"""The exact forms that a layer may have at inference, each compared with the layer on its own input."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from linconv.layers.batch_norm import fold_into_conv, fold_into_linear, scale_and_shift
from linconv.layers.feature_space import feature_space, product_form
from linconv.layers.geometry import in_channels_last
from linconv.layers.linear_conv import LinearConv2d
from linconv.layers.replacement import ConvReplacement

log = logging.getLogger("linconv")


@dataclass(frozen=True)
class Form:
    """One exact form of a layer; `norm` is the batch normalization that still has to follow it."""

    name: str
    module: nn.Module
    norm: nn.Module | None = None

    def __call__(self, input: Tensor) -> Tensor:
        output: Tensor = self.module(input)
        return output if self.norm is None else self.norm(output)


def exact_forms(
    name: str, layer: nn.Module, norm: nn.Module | None, x: Tensor | None, forms: Sequence[str]
) -> list[Form]:
    """The forms that may take the place of a layer; none where the layer stays as it is."""
    if type(layer) is nn.Conv2d and norm is not None:
        return [Form("folded", fold_into_conv(layer, norm))]
    if not isinstance(layer, ConvReplacement) or not layer.folds:
        return []
    candidates = _feature_forms(layer, norm, forms) if x is not None and "feature" in layer.forms else []
    if "folded" in forms or not candidates:
        candidates.append(_folded(layer, norm))
    if x is None:
        return candidates
    if in_channels_last(x):
        candidates = [replace(form, module=form.module.to(memory_format=torch.channels_last)) for form in candidates]
    return _exact(name, Form("as it is", layer, norm), candidates, x)


def _folded(layer: ConvReplacement, norm: nn.Module | None) -> Form:
    conv = layer.to_conv2d()
    return Form("folded", conv if norm is None else fold_into_conv(conv, norm))


def _feature_forms(layer: ConvReplacement, norm: nn.Module | None, forms: Sequence[str]) -> list[Form]:
    """The layer in feature space, with the batch normalization folded in wherever the algebra allows it."""
    if not isinstance(layer, LinearConv2d):
        kept = copy.deepcopy(layer)
        kept.mode = "feature"
        return [Form("feature", kept, norm)] if "feature" in forms else []
    found = []
    if "feature" in forms:
        absorbed = layer if norm is None else fold_into_linear(layer, norm)
        found += [] if absorbed is None else [Form("feature", feature_space(absorbed))]
        found += [] if norm is None else [Form("feature", feature_space(layer), norm)]
    if "product" in forms:
        found.append(Form("product", product_form(layer, *((None, None) if norm is None else scale_and_shift(norm)))))
    return found


@torch.no_grad()
def _exact(name: str, reference: Form, candidates: list[Form], x: Tensor) -> list[Form]:
    """The first candidate of every name whose outputs equal the layer's; a warning names the forms that have none."""
    expected = reference(x)
    exact: dict[str, Form] = {}
    for form in candidates:
        if form.name not in exact and equal(form(x), expected):
            exact[form.name] = form
    for lost in dict.fromkeys(form.name for form in candidates if form.name not in exact):
        log.warning("optimize: %s: the %s form gives other outputs than the layer and is left out", name or "it", lost)
    return list(exact.values())


def equal(found: object, expected: object) -> bool:
    """Whether two outputs have as many tensors, of the same shapes and equal up to rounding in their dtype.

    The tensors are those in lists, tuples, dictionaries and attributes of objects. Of integers the shapes count alone.
    """
    ours, theirs = list(_tensors(found, set())), list(_tensors(expected, set()))
    return len(ours) == len(theirs) and all(_close(a, b) for a, b in zip(ours, theirs, strict=True))


def _tensors(value: Any, seen: set[int]) -> Iterator[Tensor]:
    """The tensors in an output, in order, however they are packed."""
    if isinstance(value, Tensor):
        yield value
        return
    if id(value) in seen or isinstance(value, nn.Module | type | ModuleType | FunctionType | str):
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        entries: Iterable[Any] = value.values()
    elif isinstance(value, list | tuple):
        entries = value
    elif is_dataclass(value):
        entries = [getattr(value, f.name, None) for f in fields(value)]
    else:
        entries = vars(value).values() if hasattr(value, "__dict__") else ()
    for entry in list(entries):
        yield from _tensors(entry, seen)


def _close(found: Tensor, expected: Tensor) -> bool:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    if not (expected.is_floating_point() or expected.is_complex()) or not expected.numel():
        return True
    finfo = torch.finfo(expected.dtype)
    sizes = expected.abs()
    scale = torch.where(sizes.isfinite(), sizes, 0).max().clamp_min(finfo.tiny)
    alike = (found == expected) | (found.isnan() & expected.isnan())  # infinities among them
    return bool((alike | ((found - expected).abs() <= finfo.eps**0.5 * scale)).all())
