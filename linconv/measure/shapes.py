"""The sizes that pass through the convolutions of a model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from linconv.layers.copies import copied
from linconv.layers.images import image_of, one_image, running_on

# ((h, w) of the input, (h', w') of the output) of every call of every convolution, by its first name
ConvShapes = dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]]


@torch.no_grad()
def conv_shapes(model: nn.Module, size: tuple[int, int, int]) -> ConvShapes:
    """The sizes of one pass of a copy of the model over one image of zeros, (c, h, w).

    Raises:
        UserError: the model does not run on such an image.
    """
    changed = copied(model).eval()
    names = {module: name for name, module in changed.named_modules()}
    sizes: ConvShapes = {}

    def note(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], output: Tensor) -> None:
        source = next(iter((*arguments, *named.values())))
        sizes.setdefault(names[module], []).append((tuple(source.shape[-2:]), tuple(output.shape[-2:])))

    for module in changed.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note, with_kwargs=True)
    image = image_of(model, size)
    with running_on(one_image(size)):
        changed(image)
    return sizes
