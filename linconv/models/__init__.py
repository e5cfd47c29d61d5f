"""The seven networks of the paper at CIFAR size, as data and short loops around an injected convolution."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from linconv.config.methods import PLAIN
from linconv.config.names import check_known
from linconv.config.variants import VARIANTS, Variant
from linconv.layers.conversion import convert
from linconv.models.allconv import allconv
from linconv.models.mobilenet import mobilenetv2
from linconv.models.narrow import matching_width
from linconv.models.resnet import resnet18
from linconv.models.resnext import resnext29
from linconv.models.squeezenet import squeezenet
from linconv.models.vgg import base, vgg11


@dataclass(frozen=True)
class Architecture:
    """A network the project knows.

    `build(num_classes, in_channels, conv, width)` makes it, its channels multiplied by `width`; `plain` names
    the convolutions that stay plain in every variant; `has_released_quirk` says that `build` also takes `as_released`.
    """

    build: Callable[..., nn.Module]
    plain: tuple[str, ...] = ()
    has_released_quirk: bool = False


ARCHITECTURES: dict[str, Architecture] = {
    "base": Architecture(base),
    "vgg11": Architecture(vgg11),
    "allconv": Architecture(allconv, plain=("classifier",), has_released_quirk=True),
    "resnet18": Architecture(resnet18),
    "resnext29": Architecture(resnext29),
    "mobilenetv2": Architecture(mobilenetv2),
    "squeezenet": Architecture(squeezenet, plain=("classifier",)),
}


def build_model(
    architecture: str,
    variant: Variant | str = "conv",
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    as_released: bool = False,
) -> nn.Module:
    """Build a network whose convolutions are those of a variant, freshly initialised.

    Args:
        architecture: a key of `ARCHITECTURES`.
        variant: a definition, or the name of one of the paper's (`linconv.config.VARIANTS`).
        num_classes: length of the output, (B, num_classes) for images (B, in_channels, 32, 32).
        in_channels: channels of the images.
        as_released: repeat the slip of the authors' released code that the paper's FLOP cells need. Only
            allconv has one, and only in its variants: the plain network is the same either way.

    Raises:
        ValueError: unknown architecture or variant, or `as_released` where the released code has no quirk.
    """
    check_known([architecture], ARCHITECTURES, "architecture")
    if isinstance(variant, str):
        check_known([variant], VARIANTS, "variant")
        variant = VARIANTS[variant]
    spec = ARCHITECTURES[architecture]
    options: dict[str, Any] = {}
    if as_released:
        if not spec.has_released_quirk:
            quirky = ", ".join(name for name, a in ARCHITECTURES.items() if a.has_released_quirk)
            raise ValueError(f"as_released: {architecture} has no quirk to repeat; only {quirky} has one")
        options["as_released"] = variant.layer != PLAIN
    if variant.narrow_to is not None:
        sized = functools.partial(build_model, architecture, num_classes=num_classes, in_channels=in_channels)
        plain = functools.partial(spec.build, num_classes=num_classes, in_channels=in_channels)
        options["width"] = matching_width(sized, plain, variant.narrow_to)
    model = spec.build(num_classes=num_classes, in_channels=in_channels, **options)
    if variant.layer == PLAIN:
        return model
    return replace_convolutions(architecture, model, variant)


def replace_convolutions(architecture: str, model: nn.Module, variant: Variant, **options: Any) -> nn.Module:
    """Replace the convolutions of a plain network, in place, as `build_model` does for a variant.

    Args:
        options: further arguments of `linconv.convert`.
    """
    replaced = variant.model_copy(update={"warm_start": None})  # the layers, whenever they come
    return convert(model, replaced, exclude=ARCHITECTURES[architecture].plain, **options)


__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "allconv",
    "base",
    "build_model",
    "mobilenetv2",
    "replace_convolutions",
    "resnet18",
    "resnext29",
    "squeezenet",
    "vgg11",
]
