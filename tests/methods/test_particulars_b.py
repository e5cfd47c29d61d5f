"""What only one method promises, checked against an independent way to compute it."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from linconv.layers import UnsupportedConvError
from linconv.methods.cp import CPConv2d
from linconv.methods.dcls import DCLSConv2d
from linconv.methods.dynamic import DynamicConv2d
from linconv.methods.octconv import OctConv2d
from linconv.methods.spatial import SpatialConv2d
from linconv.methods.tucker import TuckerConv2d
from linconv.methods.wconv import WConv2d

DOUBLE = {"dtype": torch.float64}


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), **DOUBLE)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_spatial_filters_are_a_middle_column_or_row():
    layer = SpatialConv2d(3, 5, (4, 3), **DOUBLE)
    weight = layer.weight.detach()
    assert weight[:2, :, :, [0, 2]].abs().max() == weight[2:, :, [0, 2, 3]].abs().max() == 0  # middles 1 of 4, 1 of 3
    assert (weight[:2, :, :, 1] != 0).all()
    assert (weight[2:, :, 1] != 0).all()
    assert layer.vertical.shape[0] == 2


def test_cp_factors_make_the_filters():
    layer = CPConv2d(2, 3, (3, 2), rank=4, **DOUBLE)
    for n, c, y, x in itertools.product(range(3), range(2), range(3), range(2)):
        product = layer.out_factor[n] * layer.vertical[:, 0, y, 0] * layer.horizontal[:, 0, 0, x]
        torch.testing.assert_close(layer.weight[n, c, y, x], (product * layer.in_factor[:, c]).sum())


def test_tucker_svd_is_exact_at_full_rank_and_projects_below():
    conv = nn.Conv2d(6, 8, 3, padding=1, **DOUBLE)
    full = TuckerConv2d.from_conv2d(conv, in_rank=1.0, out_rank=1.0, init="svd")
    torch.testing.assert_close(full.weight, conv.weight)
    torch.testing.assert_close(full.bias, conv.bias)
    errors = []
    for rank in (2, 4, 6):
        layer = TuckerConv2d.from_conv2d(conv, in_rank=rank, out_rank=rank, init="svd")
        filters = conv.weight.detach()
        for dim, factor in ((0, layer.out_factor), (1, layer.in_factor.T)):
            torch.testing.assert_close(factor.T @ factor, torch.eye(rank, **DOUBLE))
            # the leading singular subspace of the unfolding: it keeps as much as its singular values say
            unfolded = filters.transpose(0, dim).flatten(1)
            torch.testing.assert_close((factor.T @ unfolded).norm(), torch.linalg.svdvals(unfolded)[:rank].norm())
        errors.append(float((layer.weight.detach() - filters).norm()))
    assert errors == sorted(errors, reverse=True)


def test_tucker_lowers_ranks_that_no_filters_have():
    assert TuckerConv2d(2, 64, 3, in_rank=2, out_rank=64).core.shape[:2] == (18, 2)
    assert TuckerConv2d(64, 2, 3, in_rank=64, out_rank=2).core.shape[:2] == (2, 18)


def test_dynamic_filters_are_those_of_each_image():
    for options, stride in (({}, 1), ({"budget": 2.0, "banks": 2}, 2)):
        layer = DynamicConv2d(4, 6, 3, stride=stride, padding=1, hidden=2.0, **options, **DOUBLE)
        images = draw(3, 4, 7, 7)
        torch.nn.init.normal_(layer.mix.weight)  # 0 at first, where all images have the same filters
        hidden = torch.relu(images.mean((2, 3)) @ layer.encode.weight.T + layer.encode.bias)
        coefficients = hidden @ layer.mix.weight.T + layer.mix.bias
        assert coefficients.std(dim=0).max() > 1e-3, "images differ"
        for image, a, output in zip(images, coefficients, layer(images), strict=True):
            weight = sum(a[j] * bank for j, bank in enumerate(layer.banks))
            if layer.combination is not None:
                weight = torch.einsum("nr,rchw->nchw", layer.combination, weight)
            torch.testing.assert_close(output, F.conv2d(image, weight, layer.bias, stride, 1))
            torch.testing.assert_close(layer(image), output)


def test_dynamic_budget_bounds_banks_and_combination():
    for budget in (0.25, 0.5, 1.0):
        layer = DynamicConv2d(32, 64, 3, budget=budget)
        own = layer.banks.numel() + layer.combination.numel()
        assert own <= budget * 64 * 288 < own + 8 * 288 + 64  # one filter more in each bank would exceed it
    assert DynamicConv2d(32, 64, 3, budget=100.0).banks.shape[1] == 64


def test_wconv_density_falls_with_the_distance_from_the_centre():
    layer = WConv2d(2, 3, (5, 3), density=[0.5, 0.25], **DOUBLE)
    rows, columns = torch.tensor([0.25, 0.5, 1, 0.5, 0.25], **DOUBLE), torch.tensor([0.5, 1, 0.5], **DOUBLE)
    torch.testing.assert_close(layer.weight, layer.filters * torch.outer(rows, columns))
    assert "density" in layer.state_dict()
    assert [name for name, _ in layer.named_parameters()] == ["bias", "filters"]
    learned = WConv2d(2, 3, 5, density=[0.5, 0.25], learned=True)
    learned(torch.randn(1, 2, 6, 6)).square().sum().backward()
    assert learned.density.grad.abs().min() > 0


def test_dcls_spreads_a_weight_bilinearly_and_learns_where_it_lies():
    layer = DCLSConv2d(1, 1, 3, padding=1, bias=False, kernel_count=1, dilated_kernel_size=5, **DOUBLE)
    with torch.no_grad():
        layer.values.fill_(2.0)
        layer.positions.copy_(torch.tensor([0.25, -1.5], **DOUBLE).view(2, 1, 1, 1))
    expected = torch.zeros(5, 5, **DOUBLE)
    expected[2, 0], expected[2, 1] = 2 * 0.75 * 0.5, 2 * 0.75 * 0.5  # y = 0.25 below the centre, x between -2 and -1
    expected[3, 0], expected[3, 1] = 2 * 0.25 * 0.5, 2 * 0.25 * 0.5
    torch.testing.assert_close(layer.weight[0, 0], expected)
    x = draw(1, 1, 7, 7)
    layer(x).square().sum().backward()
    gradient = layer.positions.grad.clone()
    step = 1e-6
    for axis in range(2):
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                layer.positions[axis] += sign * step
                losses.append(layer(x).square().sum())
                layer.positions[axis] -= sign * step
        torch.testing.assert_close(gradient[axis].squeeze(), (losses[0] - losses[1]) / (2 * step), rtol=1e-5, atol=1e-7)
    with torch.no_grad():
        layer.positions.fill_(9.0)  # beyond the kernel: kept at its corner
    assert layer.weight.nonzero().tolist() == [[0, 0, 4, 4]]


@pytest.mark.parametrize(
    ("geometry", "kernel", "padding"),
    [
        ({"kernel_size": 3, "padding": 1}, (5, 5), (2, 2)),
        ({"kernel_size": 3, "dilation": 2, "padding": 2}, (9, 9), (4, 4)),
        ({"kernel_size": (3, 1)}, (5, 1), (1, 0)),
        ({"kernel_size": 2, "padding": "valid"}, (4, 4), (1, 1)),
        ({"kernel_size": 7, "stride": 2, "padding": 3}, (13, 13), (6, 6)),
        ({"kernel_size": 5, "padding": "same"}, (9, 9), "same"),
    ],
)
def test_dcls_covers_a_larger_kernel_with_the_same_output_size(geometry, kernel, padding):
    layer, plain = DCLSConv2d(2, 4, **geometry), nn.Conv2d(2, 4, **geometry)
    assert (layer.kernel_size, layer.padding, layer.dilation) == (kernel, padding, (1, 1))
    x = torch.randn(1, 2, 16, 15)
    assert layer(x).shape == plain(x).shape
    assert layer.params_expected <= sum(p.numel() for p in plain.parameters())


def octave(channels, filters, **options):
    return OctConv2d(channels, filters, 3, padding=1, **options, **DOUBLE)


@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_octconv_is_four_convolutions_at_two_resolutions(size, stride):
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


def test_octconv_chain_is_the_network_that_keeps_two_resolutions():
    first, second = octave(6, 8), octave(8, 4)
    x = draw(2, 6, 8, 8)
    kept = F.relu(first(x))
    # the maps at half resolution, taken once from the first layer and never repeated in between
    low = kept[:, 4:, ::2, ::2]
    torch.testing.assert_close(F.avg_pool2d(kept[:, 4:], 2), low)
    half = torch.cat([F.avg_pool2d(kept[:, :4], 2), low], 1)
    expected = F.conv2d(half, second.filters[2:], padding=1)
    torch.testing.assert_close(second(kept)[:, 2:, ::2, ::2] - second.bias[2:, None, None], expected)


def test_octconv_averages_its_low_maps_where_the_chain_max_pools():
    first, second = octave(6, 8), octave(8, 4)
    kept = first(draw(2, 6, 8, 8))
    pooled = F.max_pool2d(kept, 2)
    low = kept[:, 4:, ::2, ::2]
    torch.testing.assert_close(pooled[:, 4:], low)
    half = torch.cat([F.avg_pool2d(pooled[:, :4], 2), F.avg_pool2d(low, 2)], 1)
    expected = F.conv2d(half, second.filters[2:], padding=1)
    torch.testing.assert_close(second(pooled)[:, 2:, ::2, ::2] - second.bias[2:, None, None], expected)
    assert (F.max_pool2d(low, 2) - F.avg_pool2d(low, 2)).abs().mean() > 0.01


def test_octconv_takes_an_image_whole_and_counts_odd_sizes():
    layer = octave(3, 8)
    assert (layer.in_low, layer.out_low) == (0, 4)
    # 7 x 5 output, half is 4 x 3: 4 full filters of 27 at 35 pixels, 4 at 12
    assert layer.macs_at("feature", (7, 5), (7, 5)).per_image == 4 * 27 * 35 + 4 * 27 * 12
    assert layer.macs_at("folded", (7, 5), (7, 5)) == layer.macs_at("feature", (7, 5), (7, 5)), "it does not fold"
    # 6 in, 8 out: 4 * 3 * 9 at 35; low to high 4 * 3 * 9 and the low outputs 4 * 6 * 9 at 12
    assert octave(6, 8).macs_at("feature", (7, 5), (14, 9)).per_image == 108 * 35 + (108 + 216) * 12
    with pytest.raises(TypeError, match="equals no plain convolution"):
        layer.to_conv2d()
    with pytest.raises(UnsupportedConvError, match="does not keep the size"):
        OctConv2d(8, 8, 3, padding=1, dilation=2)
