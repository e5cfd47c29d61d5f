"""What the tests of several methods use: shapes of whole networks, counts by hand, geometries."""

from collections.abc import Callable

import torch
from torch import nn

import linconv
from linconv.config import Variant

# (c, N, k, pixels of the input, pixels of the output) of every convolution on 3x32x32 images, the stem first
VGG11 = [
    (3, 64, 3, 1024, 1024),
    (64, 128, 3, 256, 256),
    (128, 256, 3, 64, 64),
    (256, 256, 3, 64, 64),
    (256, 512, 3, 16, 16),
    (512, 512, 3, 16, 16),
    (512, 512, 3, 4, 4),
    (512, 512, 3, 4, 4),
]
RESNET18 = [
    (3, 64, 3, 1024, 1024),
    *[(64, 64, 3, 1024, 1024)] * 4,
    (64, 128, 3, 1024, 256),
    (64, 128, 1, 1024, 256),
    *[(128, 128, 3, 256, 256)] * 3,
    (128, 256, 3, 256, 64),
    (128, 256, 1, 256, 64),
    *[(256, 256, 3, 64, 64)] * 3,
    (256, 512, 3, 64, 16),
    (256, 512, 1, 64, 16),
    *[(512, 512, 3, 16, 16)] * 3,
]
LAYERS = {"vgg11": VGG11, "resnet18": RESNET18}
BIASES = {"vgg11": 64 + 128 + 256 * 2 + 512 * 4, "resnet18": 0}
CLASSIFIER = 512 * 10
# Arguments of nn.Conv2d beside its channels, for formulas that are written out.
GEOMETRIES = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 2), "padding_mode": "reflect", "bias": False},
    {"kernel_size": 3, "padding": "same", "dilation": 2, "padding_mode": "circular"},
]

# What many methods refuse.
GROUPED = nn.Conv2d(4, 8, 3, groups=2, padding=1)
POINTWISE = nn.Conv2d(4, 8, 1)

Count = Callable[[int, int, int, int, int], tuple[int, int]]  # (c, N, k, pixels in, pixels out) -> parameters, MACs


def plain(c, n, k, inputs, pixels):
    return c * n * k**2, c * n * k**2 * pixels


def by_hand(architecture: str, method: Count, *, shortcuts: bool = False, plain_layers: int = 1) -> tuple[int, int]:
    """Parameters and MACs of a network whose first layers, and 1x1 shortcuts unless said otherwise, stay plain."""
    params, macs = BIASES[architecture] + CLASSIFIER + 10, CLASSIFIER
    for i, (c, n, k, inputs, pixels) in enumerate(LAYERS[architecture]):
        stays = i < plain_layers or (k == 1 and not shortcuts)
        weights, layer_macs = (plain if stays else method)(c, n, k, inputs, pixels)
        params, macs = params + weights + 2 * n, macs + layer_macs  # 2 n: the network's own batch norm
    return params, macs


def measured(architecture: str, layer: str, options=None, **more) -> tuple[int, int]:
    """Parameters and MACs as this project counts them."""
    with torch.device("meta"):
        model = linconv.build_model(architecture, Variant(layer=layer, options=options, skip_first=True, **more))
    counted = linconv.complexity(model, (3, 32, 32))
    return counted.params, counted.macs_feature


def in_millions(params: int, macs: int) -> tuple[str, str]:
    return f"{params / 1e6:.2f}", f"{macs / 1e6:.1f}"


def count(layer) -> int:
    return sum(p.numel() for p in layer.parameters())


def stages(layer, output_size, input_size) -> tuple[int, ...]:
    """The MACs of every linear map."""
    return tuple(stage.macs for stage in layer.stages_at(output_size, input_size))


def same_outputs_and_gradients(output, expected, wanted) -> None:
    """Asserts equal outputs, and equal gradients with respect to `wanted`, of two ways to compute them."""
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-10)
    cotangent = torch.randn_like(expected)
    ours = torch.autograd.grad(output, wanted, cotangent)
    for found, reference in zip(ours, torch.autograd.grad(expected, wanted, cotangent), strict=True):
        torch.testing.assert_close(found, reference, rtol=0, atol=1e-8)
