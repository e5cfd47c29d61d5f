"""Folding keeps what layers share, or says that it cannot."""

import pytest
import torch
from torch import nn

import linconv
from linconv import convert, fold, replaced_layers
from tests.scripts import load_script

MirroredConv2d = load_script("docs/examples/mirrored/mirrored.py").MirroredConv2d


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("layer", ["L", "LRr", "LSr", "tucker"])
def test_layers_with_the_same_parameters_fold_into_convolutions_with_the_same_parameters(layer, inplace):
    model = convert(nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))), layer)
    for name, parameter in list(model[0].named_parameters()):
        owner, _, own = name.rpartition(".")
        if name != "bias":
            setattr(model[2].get_submodule(owner), own, parameter)
    model[1].bias = model[0].bias
    x = torch.randn(2, 8, 6, 6)
    expected = model(x)
    folded = fold(model, inplace=inplace)
    torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-5)
    assert folded[0].weight is folded[2].weight
    assert folded[0].weight is not folded[1].weight
    assert folded[1].bias is folded[0].bias is not folded[2].bias
    assert sum(p.numel() for p in folded.parameters()) == 2 * 8 * 8 * 9 + 2 * 8


@pytest.mark.parametrize("where", [1, 2])
def test_layers_that_share_a_part_of_their_filters_are_not_folded(where):
    model = convert(nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)), "L").append(nn.Conv2d(8, 4, 3))
    model[where].register_parameter({1: "primary_filters", 2: "weight"}[where], model[0].primary_filters)
    with pytest.raises(ValueError, match=rf"^0 shares parameters of its filters with {where}, and their plain"):
        fold(model, inplace=True)
    assert replaced_layers(model) == ["0", "1"]


def test_layers_with_a_warehouse_in_common_fold_into_convolutions_of_their_own():
    model = convert(nn.Sequential(nn.Conv2d(16, 16, 3), nn.Conv2d(16, 16, 3)), "warehouse")
    folded, x = fold(model), torch.randn(1, 16, 8, 8)
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-5)
    assert folded[0].weight is not folded[1].weight


class Halved(MirroredConv2d):
    """A layer of another package whose `weight` is not what it computes with."""

    def forward(self, x):
        return super().forward(x) / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [{}, {"kernel_size": 1, "padding": 0}, {"stride": 2, "dilation": 2, "bias": False}])
def test_a_layer_of_another_package_is_folded_where_it_computes_with_its_filters(shape, dtype):
    arguments = {"kernel_size": 3, "padding": 1} | shape
    right, wrong = (
        nn.Sequential(layer(4, 8, **arguments), nn.Dropout()).to(dtype) for layer in (MirroredConv2d, Halved)
    )
    right[0].eval()
    x = torch.randn(2, 4, 9, 9, dtype=dtype)
    torch.testing.assert_close(linconv.fold(right)[0](x), right[0](x))
    assert [m.training for m in right] == [False, True]
    with pytest.raises(ValueError, match=r"^0: Halved gives other outputs than its `weight`"):
        linconv.fold(wrong)
    assert all(m.training for m in wrong)
