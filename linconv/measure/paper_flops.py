"""The rule behind the FLOP column of the paper's Table 1, decoded from its cells. It is no cost model.

For one image: a convolution counts out_elements * (k^2 + [bias]) * c / g; batch normalization 4 per element; a ReLU
*module* 1 per element (functional ones nothing); max-pooling k^2 - 1 and a linear layer 2 in - 1 per output; average
pooling nothing. LinearConv adds the coefficient product once per image, (2P - 1) S c k^2 for full A and
[(2P - 1) r + (2r - 1) S] c k^2 for rank r, with the full c even where g > 1. So multiply-accumulates are added to
multiplications and additions, and the bias is charged once per input channel.
"""

from __future__ import annotations

import math

from torch import nn

from linconv.layers import ConvReplacement
from linconv.measure.trace import Call, trace

# Cells of Table 1 that the rule alone does not give, with the quirk of the released code or the print that does.
PADDED = "the released LinearConv network pads its 1x1 convolution of 192 channels by 1, the plain one does not"
BIASED = "a bias counted in every LinearConv, where the network has none"
TRUNCATED = "0.9318 truncated to 0.931 in print"
PAPER_INPUT = ((3, 32, 32), 10)  # what the cells are counted for: image, classes
QUIRKS: dict[tuple[str, str], str] = {
    ("allconv", "Lr"): PADDED,
    ("allconv", "LRr"): PADDED,
    ("resnet18", "Lr"): BIASED,
    ("mobilenetv2", "LRr"): TRUNCATED,
}


def flops_paper(model: nn.Module, input_shape: tuple[int, int, int], *, linear_bias: bool = False) -> int | None:
    """The number the paper's Table 1 calls FLOPs, for one image of (channels, height, width).

    None for a network with layers that the paper's rule does not know, which are all replacements but LinearConv.

    Args:
        linear_bias: count a bias in every LinearConv, whether it has one or not.
    """
    return count_flops_paper(trace(model, input_shape), linear_bias=linear_bias)


def count_flops_paper(calls: list[Call], *, linear_bias: bool = False) -> int | None:
    """The same, from the calls of a forward pass."""
    replaced = [call.module for call in calls if isinstance(call.module, ConvReplacement)]
    if any(layer.paper_flops_of_filters is None for layer in replaced):
        return None
    return sum(_flops(call, linear_bias) for call in calls)


def _flops(call: Call, linear_bias: bool) -> int:
    module, elements = call.module, math.prod(call.output_shape)
    match module:
        case nn.Conv2d():
            window = math.prod(module.kernel_size) + (module.bias is not None)
            return elements * window * (module.in_channels // module.groups)
        case ConvReplacement():
            window = math.prod(module.kernel_size) + (module.bias is not None or linear_bias)
            return elements * window * (module.in_channels // module.groups) + (module.paper_flops_of_filters or 0)
        case nn.BatchNorm2d():
            return 4 * elements
        case nn.ReLU():
            return elements
        case nn.MaxPool2d():
            side = module.kernel_size
            return (math.prod(side if isinstance(side, tuple) else (side, side)) - 1) * elements
        case nn.Linear():
            return (2 * module.in_features - 1) * elements
    return 0
