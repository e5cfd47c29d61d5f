"""Octave convolution: four convolutions at two resolutions, chains of layers, counts."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from linconv.methods.octconv import OctConv2d
from tests.methods.common import GROUPED, count, stages

OPTIONS = [{"alpha": 0.3}]
REFUSED = [
    (GROUPED, {}, "groups=2"),
    (nn.Conv2d(4, 8, 3), {}, "does not keep the size"),
    (nn.Conv2d(8, 8, 3, padding=1, dilation=2), {}, "does not keep the size"),
    (nn.Conv2d(8, 8, 2, padding=1), {}, "does not keep the size"),
    (nn.Conv2d(3, 1, 3, padding=1), {}, "no low-frequency channel"),
]


def bias_additions(c, n, pixels):
    return 0  # the bias is added by itself


DOUBLE = {"dtype": torch.float64}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), **DOUBLE)


def octave(channels, filters, **options):
    return OctConv2d(channels, filters, 3, padding=1, **options, **DOUBLE)


def two_resolutions(layer, high, low):
    """The source's formula on maps kept at two resolutions: average before a stride, repeat only without one."""
    kept_high, kept_low = layer.in_channels - layer.in_low, layer.out_channels - layer.out_low
    w, strided = layer.filters, layer.stride != (1, 1)
    if strided:
        high = F.avg_pool2d(high, 2)
    to_high = F.conv2d(low, w[:kept_low, kept_high:], padding=1)
    to_high = to_high if strided else F.interpolate(to_high, scale_factor=2)
    low = F.avg_pool2d(low, 2) if strided else low
    to_low = F.conv2d(low, w[kept_low:, kept_high:], padding=1)
    return (
        F.conv2d(high, w[:kept_low, :kept_high], padding=1) + to_high + layer.bias[:kept_low, None, None],
        F.conv2d(F.avg_pool2d(high, 2), w[kept_low:, :kept_high], padding=1)
        + to_low
        + layer.bias[kept_low:, None, None],
    )


@pytest.mark.parametrize("strides", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 2, 1, 2)])
def test_a_chain_is_the_network_that_keeps_two_resolutions(strides):
    channels = [6, 8, 10, 7, 6]
    chain = [octave(c, n, stride=s) for c, n, s in zip(channels, channels[1:], strides, strict=False)]
    high, low = draw(2, 3, 32, 16), draw(2, 3, 16, 8)
    x = torch.cat([high, F.interpolate(low, scale_factor=2)], 1)
    for layer in chain:
        x = F.relu(layer(x))
        high, low = map(F.relu, two_resolutions(layer, high, low))
        torch.testing.assert_close(x, torch.cat([high, F.interpolate(low, scale_factor=2)], 1))


@pytest.mark.parametrize("stride", [2, 3, (2, 3)])
def test_low_channels_are_convolved_where_they_are_where_a_stride_leaves_no_higher_resolution(stride):
    layer = octave(6, 8, stride=stride)
    image = draw(2, 6, 24, 24)
    averaged = F.avg_pool2d(image, stride)
    high = F.conv2d(averaged, layer.filters[:4], layer.bias[:4], padding=1)
    torch.testing.assert_close(layer(image)[:, :4], high)
    low = F.conv2d(F.avg_pool2d(averaged, 2), layer.filters[4:], layer.bias[4:], padding=1)
    torch.testing.assert_close(layer(image)[:, 4:, ::2, ::2], low)


@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
def test_odd_sizes_and_mixed_strides(size):
    layer = octave(6, 8)
    x = draw(2, 6, *size)
    half = F.avg_pool2d(x, 2, ceil_mode=True)
    w = layer.filters
    high = F.conv2d(x[:, :3], w[:4, :3], padding=1)
    low_to_high = F.interpolate(F.conv2d(half[:, 3:], w[:4, 3:], padding=1), scale_factor=2)
    h, v = high.shape[-2:]
    torch.testing.assert_close(layer(x)[:, :4], high + low_to_high[..., :h, :v] + layer.bias[:4, None, None])
    # a stride in one direction only: low-to-high is repeated in the other
    across = octave(6, 8, stride=(1, 2))
    wide = draw(2, 6, 8, 16)
    averaged = F.avg_pool2d(wide, (1, 2))
    rows = F.avg_pool2d(averaged[:, 3:], (2, 1))
    low_to_high = F.conv2d(rows, across.filters[:4, 3:], padding=1).repeat_interleave(2, -2)
    high = F.conv2d(averaged[:, :3], across.filters[:4, :3], padding=1) + low_to_high
    torch.testing.assert_close(across(wide)[:, :4], high + across.bias[:4, None, None])


def test_low_maps_are_averaged_where_the_chain_max_pools():
    first, second = octave(6, 8), octave(8, 4)
    kept = first(draw(2, 6, 8, 8))
    pooled = F.max_pool2d(kept, 2)
    low = kept[:, 4:, ::2, ::2]
    torch.testing.assert_close(pooled[:, 4:], low)
    half = torch.cat([F.avg_pool2d(pooled[:, :4], 2), F.avg_pool2d(low, 2)], 1)
    expected = F.conv2d(half, second.filters[2:], padding=1)
    torch.testing.assert_close(second(pooled)[:, 2:, ::2, ::2] - second.bias[2:, None, None], expected)
    assert (F.max_pool2d(low, 2) - F.avg_pool2d(low, 2)).abs().mean() > 0.01


def test_an_image_is_taken_whole_and_odd_sizes_are_counted():
    layer = octave(3, 8)
    assert (layer.in_low, layer.out_low) == (0, 4)
    # 7 x 5 output, half is 4 x 3: 4 full filters of 27 at 35 pixels, 4 at 12
    assert layer.macs_at("feature", (7, 5), (7, 5)).per_image == 4 * 27 * 35 + 4 * 27 * 12
    assert layer.macs_at("folded", (7, 5), (7, 5)) == layer.macs_at("feature", (7, 5), (7, 5)), "it does not fold"
    # 6 in, 8 out: 4 * 3 * 9 at 35; low to high 4 * 3 * 9 and the low outputs 4 * 6 * 9 at 12
    assert stages(octave(6, 8), (7, 5), (14, 9)) == (108 * 35, 108 * 12, 216 * 12)
    # strided, low to high runs at the resolution of the output: 0.625 of the plain convolution, as in the source
    strided = octave(8, 12, stride=2)
    assert stages(strided, (8, 8), (16, 16)) == (6 * 4 * 9 * 64, 6 * 4 * 9 * 64, 6 * 8 * 9 * 16)
    assert sum(stages(strided, (8, 8), (16, 16))) == 0.625 * 8 * 12 * 9 * 64
    assert count(OctConv2d(12, 10, 3, padding=1)) == 10 * 108 + 10
