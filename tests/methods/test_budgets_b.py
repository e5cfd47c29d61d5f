"""Budgets of whole networks on 3x32x32 with 10 classes, the stem plain, against counts by hand."""

import pytest
import torch

import linconv
from linconv.config import LinearOptions, Variant
from tests.methods.test_budgets_a import BIASES, CLASSIFIER, LAYERS, in_millions


def plain(c, n, k, inputs, pixels):
    return c * n * k**2, c * n * k**2 * pixels


def linear(ratio, rank=None):
    def count(c, n, k, inputs, pixels):
        p = int(ratio * n)
        s, d = n - p, c * k**2
        coefficients = s * p if rank is None else rank * (s + p)
        return p * d + coefficients, (p * d + coefficients) * pixels

    return count


def lowrank(share):
    def count(c, n, k, inputs, pixels):
        weights = min(n // share, c * k**2) * (c * k**2 + n)
        return weights, weights * pixels

    return count


def spatial(c, n, k, inputs, pixels):
    return c * n * k, c * n * k * pixels


def tucker(c, n, k, inputs, pixels):
    """The first 1x1 runs on the input, before the stride."""
    rest = (c // 2) * (n // 2) * k**2 + n // 2 * n
    return c * (c // 2) + rest, c * (c // 2) * inputs + rest * pixels


def tucker_strided_first(c, n, k, inputs, pixels):
    return tucker(c, n, k, pixels, pixels)


def by_hand(architecture, method, *, shortcuts):
    params, macs = BIASES[architecture] + CLASSIFIER + 10, CLASSIFIER
    for i, (c, n, k, inputs, pixels) in enumerate(LAYERS[architecture]):
        count = plain if i == 0 or (k == 1 and not shortcuts) else method
        weights, layer_macs = count(c, n, k, inputs, pixels)
        params, macs = params + weights + 2 * n, macs + layer_macs  # 2 n: batch norm
    return params, macs


def measured(architecture, layer, options):
    with torch.device("meta"):
        model = linconv.build_model(architecture, Variant(layer=layer, options=options, skip_first=True))
    counted = linconv.complexity(model, (3, 32, 32))
    return counted.params, counted.macs_feature


QUARTER = LinearOptions(primary_ratio=0.25)

# method, options, count by hand, whether 1x1 shortcuts are replaced; million parameters and MACs: VGG11, ResNet-18
ROWS = {
    "linear 1/2": ("linear", LinearOptions(), linear(0.5), True, ("4.92", "83.0"), ("6.03", "298.5")),
    "rank 10": ("linear", LinearOptions(rank=10), linear(0.5, 10), True, ("4.65", "78.1"), ("5.64", "284.1")),
    "linear 1/4": ("linear", QUARTER, linear(0.25), True, ("2.54", "43.8"), ("3.13", "155.1")),
    "lowrank N/2": ("lowrank", {"rank": 0.5}, lowrank(2), True, ("5.22", "88.8"), ("6.46", "318.4")),
    "lowrank N/4": ("lowrank", {"rank": 0.25}, lowrank(4), True, ("2.62", "45.3"), ("3.24", "160.1")),
    # ResNet-18 was estimated at 207.3 million MACs, see below
    "tucker 1/2": ("tucker", {}, tucker, False, ("3.39", "57.9"), ("4.20", "212.0")),
    "spatial": ("spatial", {}, spatial, False, ("3.09", "52.1"), ("3.85", "190.5")),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("architecture", LAYERS)
def test_networks_have_the_budgets_estimated_and_counted_by_hand(architecture, row):
    layer, options, method, shortcuts, *budgets = ROWS[row]
    counted = measured(architecture, layer, options)
    assert counted == by_hand(architecture, method, shortcuts=shortcuts)
    assert in_millions(*counted) == budgets[list(LAYERS).index(architecture)]


def test_the_plain_networks():
    for architecture, budget in (("vgg11", ("9.23", "152.8")), ("resnet18", ("11.17", "555.4"))):
        assert in_millions(*by_hand(architecture, plain, shortcuts=True)) == budget


def test_tucker_was_estimated_with_the_first_1x1_after_the_stride_where_it_would_be_another_function():
    assert in_millions(*by_hand("resnet18", tucker_strided_first, shortcuts=False)) == ("4.20", "207.3")
    # three strided layers: c (c / 2) products at the pixels that the stride leaves out
    left_out = 64 * 32 * 768 + 128 * 64 * 192 + 256 * 128 * 48
    assert by_hand("resnet18", tucker, shortcuts=False)[1] - 207_295_488 == left_out == 4_718_592
