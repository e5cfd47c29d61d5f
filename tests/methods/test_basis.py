"""A filter basis shared by slices, with batch norm and ReLU: the formula, counts, the published network."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from linconv.methods.basis import BasisConv2d
from tests.methods.common import (
    GEOMETRIES,
    GROUPED,
    POINTWISE,
    by_hand,
    count,
    measured,
    same_outputs_and_gradients,
    stages,
)

OPTIONS = [{"slice_channels": 4, "filters": 5}]
REFUSED = [(GROUPED, {}, "groups=2"), (POINTWISE, {}, "1x1")]


def bias_additions(c, n, pixels):
    """128 shared filters have a bias too, on the one slice that up to 128 inputs are."""
    return n * pixels + 128 * pixels


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("arguments", GEOMETRIES)
def test_norm_and_relu_stand_between_a_shared_convolution_of_each_slice_and_a_1x1(arguments, training):
    torch.manual_seed(0)
    layer = BasisConv2d(5, 7, **arguments, slice_channels=2, filters=4, dtype=torch.float64).train(training)
    layer.norm.running_mean.normal_()
    if layer.bias is not None:
        nn.init.normal_(layer.filter_bias)
    x = torch.randn(3, 5, 8, 9, dtype=torch.float64, requires_grad=True)
    maps = []
    for channels in x.split(2, dim=1):
        conv = nn.Conv2d(channels.shape[1], 4, **arguments | {"bias": False}, dtype=torch.float64)
        found = torch.func.functional_call(conv, {"weight": layer.filters[:, : channels.shape[1]]}, (channels,))
        maps.append(found if layer.filter_bias is None else found + layer.filter_bias[:, None, None])
    norm = layer.norm
    normalized = F.batch_norm(
        torch.cat(maps, dim=1),
        *(norm.running_mean.clone(), norm.running_var.clone(), norm.weight, norm.bias),
        training,
        eps=norm.eps,
    )
    expected = torch.einsum("nm,bmhw->bnhw", layer.combination, normalized.clamp(min=0))
    if layer.bias is not None:
        expected = expected + layer.bias[:, None, None]
    same_outputs_and_gradients(layer(x), expected, [x, *layer.parameters()])


def test_counts_are_those_of_the_formula():
    assert count(BasisConv2d(256, 512, 3, device="meta")) == 128 * 128 * 9 + 2 * 128 * 512 + 2 * 2 * 128 + 128 + 512
    thin = BasisConv2d(256, 512, 3, slice_channels=64, filters=32, device="meta")
    assert count(thin) == 32 * 64 * 9 + 4 * 32 * 512 + 2 * 4 * 32 + 32 + 512
    layer = BasisConv2d(6, 9, (3, 2), stride=2, padding=1, slice_channels=4, filters=5)
    assert stages(layer, (4, 5), (8, 9)) == (2 * 5 * 4 * 6 * 20, 9 * 10 * 20)
    assert layer.basis.shape == (5, 4, 3, 2)


def basis(c, n, k, inputs, pixels):
    """b = n_b = 128, as VGG11's convolutions 3-8 have them."""
    maps = c  # (c / b) n_b
    return 128 * 128 * 9 + maps * n + 2 * maps + 128, (128 * c * 9 + maps * n) * pixels


def test_vgg11_with_a_basis_from_the_third_convolution_on_has_the_published_parameters():
    """The source's layout: F has a bias, batch norm and ReLU follow it, the 1x1 convolution has a bias too."""
    counted = measured("vgg11", "basis", include=("features.conv[3-8]",))
    assert counted[0] == 1_994_506
    assert counted == by_hand("vgg11", basis, plain_layers=2)
    shared_bias_and_norm = 6 * 128 + 2 * (128 + 2 * 256 + 3 * 512)
    linear = measured("vgg11", "basis_linear", include=("features.conv[3-8]",))
    assert linear == (1_994_506 - shared_bias_and_norm, counted[1])
