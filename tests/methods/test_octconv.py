"""Octave convolution: four convolutions at two resolutions, chains of layers, counts."""

import pytest
import torch
import torch.nn.functional as F

from linconv.methods.octconv import OctConv2d
from tests.methods.common import count, stages

DOUBLE = {"dtype": torch.float64}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), **DOUBLE)


def octave(channels, filters, **options):
    return OctConv2d(channels, filters, 3, padding=1, **options, **DOUBLE)


@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_four_convolutions_at_two_resolutions(size, stride):
    layer = octave(6, 8, stride=stride)
    image = draw(2, 6, *size)
    x = F.avg_pool2d(image, stride, ceil_mode=True)
    half = F.avg_pool2d(x, 2, ceil_mode=True)
    w = layer.filters
    high = F.conv2d(x[:, :3], w[:4, :3], padding=1)
    low_to_high = F.interpolate(F.conv2d(half[:, 3:], w[:4, 3:], padding=1), scale_factor=2)
    low = F.conv2d(half[:, 3:], w[4:, 3:], padding=1) + F.conv2d(half[:, :3], w[4:, :3], padding=1)
    h, v = high.shape[-2:]
    expected = torch.cat([high + low_to_high[..., :h, :v], F.interpolate(low, scale_factor=2)[..., :h, :v]], 1)
    torch.testing.assert_close(layer(image), expected + layer.bias[:, None, None])


def test_a_chain_is_the_network_that_keeps_two_resolutions():
    first, second = octave(6, 8), octave(8, 4)
    x = draw(2, 6, 8, 8)
    kept = F.relu(first(x))
    # the maps at half resolution, taken once from the first layer and never repeated in between
    low = kept[:, 4:, ::2, ::2]
    torch.testing.assert_close(F.avg_pool2d(kept[:, 4:], 2), low)
    half = torch.cat([F.avg_pool2d(kept[:, :4], 2), low], 1)
    expected = F.conv2d(half, second.filters[2:], padding=1)
    torch.testing.assert_close(second(kept)[:, 2:, ::2, ::2] - second.bias[2:, None, None], expected)


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
    assert count(OctConv2d(12, 10, 3, padding=1)) == 10 * 108 + 10
