"""Dynamic convolution: the filters of each image, the budget, counts."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from linconv.methods.dynamic import DynamicConv2d
from tests.methods.common import GROUPED, count

OPTIONS = [{"banks": 2, "budget": 1.5}]
REFUSED = [
    (GROUPED, {"budget": 0.5}, "groups=2"),
    (nn.Conv2d(4, 4, 3), {"budget": 0.5}, "no filter for each of 8 banks"),
]


def bias_additions(c, n, pixels):
    """So have two linear layers of h = max(4, c/4) and J = 8 outputs for each image."""
    return n * pixels + max(4, c // 4) + 8


@pytest.mark.parametrize(("options", "stride"), [({}, 1), ({"budget": 2.0, "banks": 2}, 2)])
def test_filters_are_those_of_each_image(options, stride):
    torch.manual_seed(0)
    layer = DynamicConv2d(4, 6, 3, stride=stride, padding=1, hidden=2.0, **options, dtype=torch.float64)
    images = torch.randn(3, 4, 7, 7, dtype=torch.float64)
    torch.nn.init.normal_(layer.mix.weight)  # 0 at first, where all images have the same filters
    hidden = torch.relu(images.mean((2, 3)) @ layer.encode.weight.T + layer.encode.bias)
    coefficients = hidden @ layer.mix.weight.T + layer.mix.bias
    assert coefficients.std(dim=0).max() > 1e-3, "images differ"
    for image, a, output in zip(images, coefficients, layer(images), strict=True):
        weight = sum(a[j] * bank for j, bank in enumerate(layer.banks))
        if layer.combination is not None:
            weight = torch.einsum("nr,rchw->nchw", layer.combination, weight)
        torch.testing.assert_close(output, F.conv2d(image, weight, layer.bias, stride, 1))


def test_the_budget_bounds_banks_and_combination():
    for budget in (0.25, 0.5, 1.0):
        layer = DynamicConv2d(32, 64, 3, budget=budget)
        own = layer.banks.numel() + layer.combination.numel()
        assert own <= budget * 64 * 288 < own + 8 * 288 + 64  # one filter more in each bank would exceed it
    assert DynamicConv2d(32, 64, 3, budget=100.0).banks.shape[1] == 64


def test_parameters_follow_the_formula():
    assert count(DynamicConv2d(12, 10, 3)) == 8 * 10 * 108 + (4 * 12 + 4) + (8 * 4 + 8) + 10
    thin = DynamicConv2d(12, 10, 3, budget=1.0, banks=2)
    assert count(thin) == 2 * 4 * 108 + 10 * 4 + (4 * 12 + 4) + (2 * 4 + 2) + 10


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [("banks", 0, "an int of at least 1"), ("budget", -1.0, "a number above 0"), ("hidden", 0.0, "a number above 0")],
)
def test_wrong_options(option, value, wanted):
    with pytest.raises(ValueError, match=f"{option} must be {wanted}, not {value}"):
        DynamicConv2d(8, 8, 3, **{option: value})
