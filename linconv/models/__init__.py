"""The networks at CIFAR size, as data and short loops around an injected convolution."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import Any

from torch import nn

from linconv.catalogue.networks import NETWORKS
from linconv.config.methods import PLAIN
from linconv.config.names import check_known
from linconv.config.variants import VARIANTS, Variant
from linconv.layers.conversion import conversion
from linconv.layers.selection import Choice
from linconv.models.narrow import matching_width

log = logging.getLogger("linconv")


def build_model(
    architecture: str,
    variant: Variant | str = "conv",
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    as_released: bool = False,
) -> nn.Module:
    """Build a network whose convolutions are those of a variant, freshly initialized.

    Args:
        architecture: a name of `linconv.catalogue.networks`.
        variant: a definition, or the name of one of the paper's (`linconv.config.VARIANTS`).
        num_classes: length of the output, (B, num_classes) for images (B, in_channels, 32, 32).
        in_channels: channels of the images.
        as_released: repeat the slip of the authors' released code that the paper's FLOP cells need. Only
            allconv has one, and only in its variants: the plain network is the same either way.

    Raises:
        ValueError: unknown architecture or variant, or `as_released` where the released code has no quirk.
    """
    check_known([architecture], NETWORKS, "architecture")
    if isinstance(variant, str):
        check_known([variant], VARIANTS, "variant")
        variant = VARIANTS[variant]
    network = NETWORKS[architecture]
    build = network.load()
    options: dict[str, Any] = {}
    if as_released:
        if not network.has_released_quirk:
            quirky = ", ".join(n.name for n in NETWORKS.values() if n.has_released_quirk)
            raise ValueError(f"as_released: {architecture} has no quirk to repeat; only {quirky} has one")
        options["as_released"] = variant.layer != PLAIN
    if variant.narrow_to is not None:
        sized = functools.partial(build_model, architecture, num_classes=num_classes, in_channels=in_channels)
        plain = functools.partial(build, num_classes=num_classes, in_channels=in_channels)
        options["width"] = matching_width(sized, plain, variant.narrow_to)
    model = build(num_classes=num_classes, in_channels=in_channels, **options)
    if variant.layer == PLAIN:
        return model
    return replace_convolutions(architecture, model, variant)


def replace_convolutions(
    architecture: str, model: nn.Module, variant: Variant, *, include: Sequence[str] | None = None, **options: Any
) -> nn.Module:
    """Replace the convolutions of a plain network, in place, as `build_model` does for a variant.

    Args:
        include: patterns of names; None takes all.
        options: of the layers.
    """
    replaced = variant.model_copy(update={"warm_start": None})  # the layers, whenever they come
    choice = Choice(include=include, exclude=NETWORKS[architecture].plain)
    done = conversion(model, replaced, choice, allow_nothing=True, **options)
    log.info("%s: %s", architecture, str(done))  # the text: a kept record would keep both models
    return done.model


__all__ = ["build_model", "replace_convolutions"]
