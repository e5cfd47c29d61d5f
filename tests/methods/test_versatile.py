"""Versatile filters: the masks, the start from given filters, counts, budgets."""

import pytest
import torch
from torch import nn

from linconv.methods.versatile import VersatileConv2d
from tests.methods.common import GROUPED, POINTWISE, by_hand, count, in_millions, measured, stages

OPTIONS = [{"channel_windows": 3, "channel_stride": 2}]
REFUSED = [
    (GROUPED, {}, "groups=2"),
    (POINTWISE, {}, "1x1"),
    (nn.Conv2d(4, 1, 3), {}, "one filter"),
    (nn.Conv2d(4, 8, 2), {}, "one channel window leave one mask"),
    (nn.Conv2d(4, 8, 3), {"channel_windows": 3, "channel_stride": 2}, "need more than 4"),
]


def bias_additions(c, n, pixels):
    return 0  # the bias is added by itself


DOUBLE = {"dtype": torch.float64}


def test_secondary_filters_are_the_primary_ones_under_nested_masks():
    layer = VersatileConv2d(3, 7, 5, **DOUBLE)  # three masks of a 5x5 kernel, three primary filters
    assert layer.filters.shape == (3, 3, 5, 5)
    masks = torch.zeros(3, 5, 5, **DOUBLE)
    for border in range(3):
        masks[border, border : 5 - border, border : 5 - border] = 1
    expected = torch.cat([layer.filters * mask for mask in masks])[:7]
    torch.testing.assert_close(layer.weight, expected, rtol=0, atol=0)


def test_channel_masks_keep_windows_of_the_inputs():
    layer = VersatileConv2d(6, 8, 1, channel_windows=2, channel_stride=3, **DOUBLE)
    weight = layer.weight[..., 0, 0]
    assert layer.filters.shape == (4, 6, 1, 1)
    filters = layer.filters[..., 0, 0]
    torch.testing.assert_close(weight[:4, :3], filters[:, :3])
    torch.testing.assert_close(weight[4:, 3:], filters[:, 3:])
    assert weight[:4, 3:].count_nonzero() == weight[4:, :3].count_nonzero() == 0
    both = VersatileConv2d(6, 8, 3, channel_windows=2, **DOUBLE)  # the windows within every square
    assert both.filters.shape[0] == 2
    kept = [int(filters.count_nonzero()) for filters in both.weight]
    assert kept == [5 * 9] * 4 + [5] * 4


def test_least_squares_is_the_mean_of_what_a_value_stands_for():
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 4, 3, **DOUBLE)
    layer = VersatileConv2d.from_conv2d(conv, init="least_squares")
    expected = conv.weight[:2].detach().clone()
    expected[..., 1, 1] = (conv.weight[:2, :, 1, 1] + conv.weight[2:, :, 1, 1]) / 2
    torch.testing.assert_close(layer.filters, expected)
    # no step away from the mean is nearer: the gradient of the error is 0
    gradient = torch.autograd.grad((layer.weight - conv.weight.detach()).square().sum(), layer.filters)[0]
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))
    assert torch.equal(VersatileConv2d.from_conv2d(layer.to_conv2d(), init="least_squares").weight, layer.weight)


def test_new_filters_have_the_scale_of_plain_ones_zeros_included():
    torch.manual_seed(0)
    layer = VersatileConv2d(64, 256, 3, channel_windows=2, **DOUBLE)
    assert float(layer.weight.detach().std()) == pytest.approx((3 * 64 * 9) ** -0.5, rel=0.02)


def test_counts_follow_the_formula():
    layer = VersatileConv2d(12, 10, 3)
    assert count(layer) == 5 * 12 * 9 + 10
    assert stages(layer, (7, 5), (7, 5)) == (5 * 12 * 9 * 35, 5 * 12 * 35)
    windows = VersatileConv2d(12, 10, 3, channel_windows=2)
    assert count(windows) == 3 * 12 * 9 + 10
    assert stages(windows, (7, 5), (7, 5)) == (3 * 99 * 35, 3 * 99 * 35, 3 * 11 * 35, 1 * 11 * 35)


def versatile(c, n, k, inputs, pixels):
    return n // 2 * c * k**2, n // 2 * c * (k**2 + 1) * pixels


@pytest.mark.parametrize(("architecture", "budget"), [("vgg11", ("4.62", "85.7")), ("resnet18", ("5.68", "312.2"))])
def test_networks_have_the_budgets_counted_by_hand(architecture, budget):
    counted = measured(architecture, "versatile")
    assert counted == by_hand(architecture, versatile)
    assert in_millions(*counted) == budget
