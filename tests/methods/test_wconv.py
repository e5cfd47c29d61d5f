"""Weighted convolution: the density, counts, options."""

import pytest
import torch
from torch import nn

from linconv import convert
from linconv.methods.wconv import WConv2d
from tests.methods.common import POINTWISE, count

OPTIONS = [{"density": [1.3, 0.5], "learned": True}]
REFUSED = [
    (POINTWISE, {}, "1x1"),
    (nn.Conv2d(4, 8, (3, 4)), {}, "3x4 kernel has no center"),
    (nn.Conv2d(4, 8, 5), {"density": [0.5]}, r"needs 2 value\(s\)"),
]

DOUBLE = {"dtype": torch.float64}


def test_density_falls_with_the_distance_from_the_center():
    layer = WConv2d(2, 3, (5, 3), density=[0.5, 0.25], **DOUBLE)
    rows, columns = torch.tensor([0.25, 0.5, 1, 0.5, 0.25], **DOUBLE), torch.tensor([0.5, 1, 0.5], **DOUBLE)
    torch.testing.assert_close(layer.weight, layer.filters * torch.outer(rows, columns))
    assert "density" in layer.state_dict()
    assert [name for name, _ in layer.named_parameters()] == ["bias", "filters"]
    learned = WConv2d(2, 3, 5, density=[0.5, 0.25], learned=True)
    learned(torch.randn(1, 2, 6, 6)).square().sum().backward()
    assert learned.density.grad.abs().min() > 0


def test_parameters_and_options():
    assert [count(WConv2d(12, 10, 3, learned=learned)) for learned in (False, True)] == [1090, 1091]
    for density in (0.0, [], [1, "2"], None):
        with pytest.raises(ValueError, match="density must be a number above 0, or one for each distance, not"):
            WConv2d(8, 8, 3, density=density)
    with pytest.raises(ValueError, match="learned must be True or False, not 1"):
        WConv2d(8, 8, 3, learned=1)


@pytest.mark.parametrize("options", [{}, {"density": [1.3, 0.5], "learned": True}])
@pytest.mark.parametrize("groups", [1, 2])
def test_given_filters_are_fitted_exactly(options, groups):
    conv = nn.Conv2d(4, 6, 5, groups=groups, padding=2).double()
    model = convert(nn.Sequential(conv), "wconv", init="least_squares", **options)
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(model(x), conv(x), rtol=0, atol=1e-12)
