"""Heterogeneous kernels: which are k x k, counts, budgets."""

import pytest
from torch import nn

from linconv.methods.hetconv import HetConv2d
from tests.methods.common import GROUPED, POINTWISE, by_hand, count, in_millions, measured, stages

OPTIONS = [{"part": 3}]
REFUSED = [
    (GROUPED, {}, "groups=2"),
    (POINTWISE, {}, "1x1"),
    (nn.Conv2d(3, 8, 3), {}, "part=4 needs as many inputs, not 3"),
]


def hetconv(c, n, k, inputs, pixels):
    return c * n * 9 // 4 + c * n * 3 // 4, (c * n * 9 // 4 + c * n) * pixels  # the 1x1 part runs on all inputs


@pytest.mark.parametrize("channels", [8, 10])
def test_kernels_shift_by_one_input_per_filter(channels):
    weight = HetConv2d(channels, 7, 3, part=4).weight
    for n in range(7):
        for i in range(channels):
            taps = weight[n, i].count_nonzero().item()
            assert taps == (9 if i % 4 == n % 4 else 1)
            assert weight[n, i, 1, 1] != 0


def test_counts_are_those_of_the_formula():
    pairs = 256 * 512
    assert count(HetConv2d(256, 512, 3, device="meta")) == pairs * 9 // 4 + pairs * 3 // 4 + 512
    assert count(HetConv2d(256, 512, 3, part=2, device="meta")) == pairs * 9 // 2 + pairs // 2 + 512
    shape = {"kernel_size": (3, 2), "stride": 2, "padding": 1}
    assert stages(HetConv2d(6, 9, **shape, part=3), (4, 5), (8, 9)) == (9 * 2 * 6 * 20, 9 * 6 * 20)
    # 6 inputs fill 4 groups of 2, 9 filters 4 of 3
    assert stages(HetConv2d(6, 9, **shape), (4, 5), (8, 9)) == (12 * 2 * 6 * 20, 9 * 6 * 20)
    assert HetConv2d(8, 12, 3).basis.shape == (12, 8, 3, 3)


@pytest.mark.parametrize(("architecture", "budget"), [("vgg11", ("3.09", "56.3")), ("resnet18", ("3.85", "205.7"))])
def test_networks_have_the_budgets_counted_by_hand(architecture, budget):
    counted = measured(architecture, "hetconv")
    assert counted == by_hand(architecture, hetconv)
    assert in_millions(*counted) == budget


@pytest.mark.parametrize(("architecture", "estimate"), [("vgg11", "52.1"), ("resnet18", "190.5")])
def test_the_budget_was_estimated_without_the_zeros_of_the_dense_1x1_part(architecture, estimate):
    # its parameters at every pixel: 9/4 + 3/4 = 3
    params, macs = by_hand(architecture, lambda c, n, k, inputs, pixels: (0, c * n * 3 * pixels))
    assert in_millions(params, macs)[1] == estimate
