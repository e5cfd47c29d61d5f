"""Spatial convolution: filters one pixel wide or high, counts, budgets."""

import pytest
import torch
from torch import nn

from linconv.methods.spatial import SpatialConv2d
from tests.methods.common import GROUPED, POINTWISE, by_hand, count, in_millions, measured

OPTIONS = [{"vertical": 0.2}]
REFUSED = [
    (GROUPED, {}, "groups=2"),
    (POINTWISE, {}, "1x1"),
    (nn.Conv2d(4, 8, (3, 1)), {}, "3x1 kernel is one pixel wide"),
    (nn.Conv2d(4, 1, 3), {}, "one filter"),
]


def test_filters_are_a_middle_column_or_row():
    layer = SpatialConv2d(3, 5, (4, 3), dtype=torch.float64)
    weight = layer.weight.detach()
    assert weight[:2, :, :, [0, 2]].abs().max() == weight[2:, :, [0, 2, 3]].abs().max() == 0  # middles 1 of 4, 1 of 3
    assert (weight[:2, :, :, 1] != 0).all()
    assert (weight[2:, :, 1] != 0).all()
    assert layer.vertical.shape[0] == 2


@pytest.mark.parametrize(("architecture", "budget"), [("vgg11", ("3.09", "52.1")), ("resnet18", ("3.85", "190.5"))])
def test_networks_have_the_budgets_counted_by_hand(architecture, budget):
    counted = measured(architecture, "spatial")
    assert counted == by_hand(architecture, lambda c, n, k, inputs, pixels: (c * n * k, c * n * k * pixels))
    assert in_millions(*counted) == budget
    assert count(SpatialConv2d(12, 10, 3)) == 3 * 12 * 10 + 10
