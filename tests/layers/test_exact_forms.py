"""The forms of a layer inside a model whose code asks the layer for what a convolution has."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import linconv
from linconv.layers.feature_space import FeatureSpace2d, Product2d
from linconv.layers.linear_conv import LinearConv2d


def largest(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).detach().abs().max())


class Asking(nn.Module):
    """Pads by hand, as MobileNets that come from TensorFlow do, and asks the convolution for more or less."""

    def __init__(self, ask):
        super().__init__()
        self.conv, self.norm, self.ask = nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16), ask

    def forward(self, x):
        return self.norm(self.conv(F.pad(x, self.ask(self.conv))))


def sides(conv):
    (height, width), stride, weight = conv.kernel_size, conv.stride[0], conv.weight
    assert weight.shape == (conv.out_channels, conv.in_channels // conv.groups, height, width)
    assert conv.bias.shape == (conv.out_channels,)
    return (0, width - stride, 0, height - stride)


def of_a_convolution(conv):
    if not isinstance(conv, nn.Conv2d | LinearConv2d):
        raise TypeError("a convolution is wanted")
    return (0, 1, 0, 1)


@pytest.mark.parametrize("form", ["feature", "product", "folded"])
def test_a_form_has_what_models_ask_a_convolution_for(form, caplog):
    model = linconv.convert(Asking(sides), "LRr").double().eval()
    nn.init.normal_(model.conv.bias)
    x = torch.randn(2, 8, 8, 8, dtype=torch.float64)
    optimized = linconv.optimize(model, x, forms=(form,))
    assert type(optimized.conv) is {"feature": FeatureSpace2d, "product": Product2d, "folded": nn.Conv2d}[form]
    assert type(optimized.norm) is nn.Identity
    assert largest(optimized(x), model(x)) < 1e-12
    form, plain = linconv.optimize(model.conv, x, forms=(form,)), linconv.fold(model.conv)
    assert largest(form.weight, plain.weight) < 1e-12
    assert largest(form.bias, plain.bias) < 1e-12


def test_a_model_that_refuses_a_form_gets_another_or_stays(caplog):
    model, x = linconv.convert(Asking(of_a_convolution), "L").eval(), torch.randn(2, 8, 8, 8)
    assert type(linconv.optimize(model, x).conv) is nn.Conv2d
    caplog.clear()
    stays = linconv.optimize(model, x, forms=("feature",))
    assert type(stays.conv) is LinearConv2d
    assert "every layer stays as it is, for the model does not run with feature" in caplog.text
    assert torch.equal(stays(x), model(x))
