"""Blueprint separable convolution in a subspace: filters, the penalty of the source, counts, budgets."""

import math

import pytest
import torch
from torch import nn

from linconv.layers import orthogonal_penalty
from linconv.methods.bsconv import BSConvS2d
from tests.methods.common import CLASSIFIER, GROUPED, POINTWISE, by_hand, count, in_millions, measured, stages

OPTIONS = [{"mid_ratio": 1.0, "min_mid_channels": 1}]
REFUSED = [(GROUPED, {}, "groups=2"), (POINTWISE, {}, "1x1")]


def bsconv_s(c, n, k, inputs, pixels):
    m = max(4, math.ceil(c / 4))
    return m * (c + n) + n * 9, m * (c + n) * inputs + n * 9 * pixels


def test_filters_are_what_the_formula_says():
    layer = BSConvS2d(8, 3, 3)
    scale = sum(layer.mixing[2, j] * layer.projection[j, 1] for j in range(4))
    torch.testing.assert_close(layer.weight[2, 1], scale * layer.blueprints[2, 0])


def test_the_penalty_of_the_source_reaches_the_first_1x1_alone():
    layer = BSConvS2d(8, 12, 3)
    projection = layer.basis.flatten(1)
    penalty = 0.1 * orthogonal_penalty(layer)
    penalty.backward()
    torch.testing.assert_close(penalty, 0.1 * torch.linalg.matrix_norm(projection @ projection.T - torch.eye(4)))
    assert layer.projection.grad.count_nonzero() == layer.projection.numel()
    assert layer.mixing.grad is None
    assert layer.blueprints.grad is None
    nn.init.orthogonal_(layer.projection)
    assert orthogonal_penalty(layer) < 1e-5


def test_the_subspace_of_few_channels_has_four_dimensions_or_as_many_as_there_are():
    assert [BSConvS2d(c, 8, 3).mid_channels for c in (3, 4, 9, 17, 64)] == [3, 4, 4, 5, 16]
    assert BSConvS2d(100, 8, 3, mid_ratio=0.07).mid_channels == 7


def test_counts_are_those_of_the_formula():
    assert count(BSConvS2d(256, 512, 3, device="meta")) == 64 * (256 + 512) + 512 * 9 + 512
    assert count(BSConvS2d(256, 512, 3, mid_ratio=0.125, device="meta")) == 32 * (256 + 512) + 512 * 9 + 512
    layer = BSConvS2d(6, 9, (3, 2), stride=2, padding=1)
    assert stages(layer, (4, 5), (8, 9)) == (4 * 6 * 72, 4 * 9 * 72, 9 * 6 * 20)
    assert BSConvS2d(8, 12, 3).basis.shape == (4, 8, 1, 1)


@pytest.mark.parametrize(("architecture", "budget"), [("vgg11", ("0.53", "10.2")), ("resnet18", ("0.81", "49.2"))])
def test_networks_have_the_budgets_counted_by_hand(architecture, budget):
    counted = measured(architecture, "bsconv_s")
    assert counted == by_hand(architecture, bsconv_s)
    assert in_millions(*counted) == budget


def test_the_budgets_were_estimated_with_the_1x1_after_the_stride_and_without_the_classifier():
    estimate = by_hand("resnet18", lambda c, n, k, inputs, pixels: bsconv_s(c, n, k, pixels, pixels))
    assert in_millions(*estimate)[1] == "42.1"
    params, macs = by_hand("vgg11", bsconv_s)
    assert macs == 10_150_912
    assert in_millions(params, macs - CLASSIFIER)[1] == "10.1"


@pytest.mark.parametrize("ratio", [0, 1.5, True, "0.5"])
def test_a_ratio_lies_between_0_and_1(ratio):
    with pytest.raises(ValueError, match=rf"mid_ratio must be a number in \(0, 1\], not {ratio!r}"):
        BSConvS2d(8, 8, 3, mid_ratio=ratio)
