"""Dilated convolution with learnable spacings: where weights lie, the larger kernel, counts."""

import pytest
import torch
from torch import nn

from linconv.methods.dcls import DCLSConv2d
from tests.methods.common import count

DOUBLE = {"dtype": torch.float64}


def test_a_weight_is_spread_bilinearly_and_learns_where_it_lies():
    layer = DCLSConv2d(1, 1, 3, padding=1, bias=False, kernel_count=1, dilated_kernel_size=5, **DOUBLE)
    with torch.no_grad():
        layer.values.fill_(2.0)
        layer.positions.copy_(torch.tensor([0.25, -1.5], **DOUBLE).view(2, 1, 1, 1))
    expected = torch.zeros(5, 5, **DOUBLE)
    expected[2, 0], expected[2, 1] = 2 * 0.75 * 0.5, 2 * 0.75 * 0.5  # y = 0.25 below the centre, x between -2 and -1
    expected[3, 0], expected[3, 1] = 2 * 0.25 * 0.5, 2 * 0.25 * 0.5
    torch.testing.assert_close(layer.weight[0, 0], expected)
    torch.manual_seed(0)
    x, step = torch.randn(1, 1, 7, 7, **DOUBLE), 1e-6
    layer(x).square().sum().backward()
    gradient = layer.positions.grad.clone()
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
def test_a_larger_kernel_gives_an_output_of_the_same_size(geometry, kernel, padding):
    layer, plain = DCLSConv2d(2, 4, **geometry), nn.Conv2d(2, 4, **geometry)
    assert (layer.kernel_size, layer.padding, layer.dilation) == (kernel, padding, (1, 1))
    x = torch.randn(1, 2, 16, 15)
    assert layer(x).shape == plain(x).shape
    assert layer.params_expected <= count(plain)


def test_parameters_and_options():
    assert count(DCLSConv2d(12, 10, 3, padding=1)) == 3 * 3 * 12 * 10 + 10
    with pytest.raises(ValueError, match="kernel_count must be an int of at least 1, not 0"):
        DCLSConv2d(8, 8, 3, kernel_count=0)
    for size in ([5], 0, [5, 2.0]):
        with pytest.raises(ValueError, match="dilated_kernel_size must be an int of at least 1, or two, not"):
            DCLSConv2d(8, 8, 3, dilated_kernel_size=size)
