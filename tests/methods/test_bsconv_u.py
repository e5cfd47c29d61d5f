"""Blueprint separable convolution: filters, counts, budgets."""

import pytest
import torch

from linconv.methods.bsconv import BSConvU2d
from tests.methods.common import GROUPED, POINTWISE, by_hand, count, in_millions, measured, stages

REFUSED = [(GROUPED, {}, "groups=2"), (POINTWISE, {}, "1x1")]


def bsconv_u(c, n, k, inputs, pixels):
    return c * n + n * 9, c * n * inputs + n * 9 * pixels


def test_filters_are_what_the_formula_says():
    layer = BSConvU2d(4, 3, 3)
    torch.testing.assert_close(layer.weight[2, 1], layer.mixing[2, 1] * layer.blueprints[2, 0])


def test_counts_are_those_of_the_formula():
    assert count(BSConvU2d(256, 512, 3, device="meta")) == 256 * 512 + 512 * 9 + 512
    layer = BSConvU2d(6, 9, (3, 2), stride=2, padding=1)
    assert stages(layer, (4, 5), (8, 9)) == (6 * 9 * 72, 9 * 6 * 20)
    assert layer.basis.shape == (9, 1, 3, 2)


@pytest.mark.parametrize(("architecture", "budget"), [("vgg11", ("1.06", "19.3")), ("resnet18", ("1.44", "92.2"))])
def test_networks_have_the_budgets_counted_by_hand(architecture, budget):
    counted = measured(architecture, "bsconv_u")
    assert counted == by_hand(architecture, bsconv_u)
    assert in_millions(*counted) == budget


def test_the_budget_was_estimated_with_the_1x1_after_the_stride_where_it_would_be_another_function():
    estimate = by_hand("resnet18", lambda c, n, k, inputs, pixels: bsconv_u(c, n, k, pixels, pixels))
    assert in_millions(*estimate)[1] == "73.3"
