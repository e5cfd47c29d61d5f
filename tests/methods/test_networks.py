"""Whole networks with each method: converted, counted, trained a step, folded."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18

from linconv import complexity, convert, fold
from linconv.config import Variant
from linconv.config.methods import METHODS
from linconv.layers import UnsupportedConvError, check_methods, method_class


@pytest.mark.parametrize("name", METHODS)
def test_a_network_converts_counts_trains_and_folds(name):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 10, 3, 2, 1), nn.ReLU(), nn.Conv2d(10, 6, 3, 1, 1, bias=False)
    ).double()
    model[4].requires_grad_(False)
    convert(model, Variant(layer=name, skip_first=True))
    cls = method_class(name)
    assert [type(model[i]) for i in (0, 2, 4)] == [nn.Conv2d, cls, cls]
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert not any(p.requires_grad for p in model[4].parameters())
    x = torch.randn(4, 3, 11, 9, dtype=torch.float64)
    before = [p.clone() for p in model[2].parameters()]
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    model(x).square().mean().backward()
    optimizer.step()
    names = [n for n, _ in model[2].named_parameters()]
    changed = [not torch.equal(old, new) for old, new in zip(before, model[2].parameters(), strict=True)]
    # before a batch norm in train mode a bias has no gradient; the encoder waits for coefficients other than 0
    exempt = ("filter_bias", "encode.weight", "encode.bias")
    assert all(was for n, was in zip(names, changed, strict=True) if n not in exempt)
    model.eval()
    record = complexity(model, (3, 11, 9), 4)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = model(x)
    assert record.macs_auto == pytest.approx(counter.get_total_flops() / 2 / 4, abs=0.5)
    folded = fold(model)
    assert type(folded[2]) is (nn.Conv2d if cls.folds else cls)
    torch.testing.assert_close(folded(x), output)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "linear"])  # which keeps its paper's
def test_new_filters_keep_the_scale_of_those_replaced(name):
    torch.manual_seed(0)
    conv, x = nn.Conv2d(32, 32, 3, padding=1, bias=False), torch.randn(4, 32, 12, 12)
    # halving half of the channels' resolution averages four noisy pixels into one
    least = 0.5 if name == "octconv" else 0.8
    with torch.no_grad():
        fresh = method_class(name)(32, 32, 3, padding=1, bias=False)
        if any(isinstance(module, nn.BatchNorm2d) for module in fresh.modules()):
            return  # its own normalization decides the scale
        assert least < fresh(x).std() / conv(x).std() < 1.25
        conv.weight.mul_(3)
        layer = convert(nn.Sequential(conv), Variant(layer=name))[0]
        assert type(layer) is method_class(name)
        assert least < layer(x).std() / conv(x).std() < 1.25


@pytest.mark.parametrize("name", METHODS)
def test_a_torchvision_network_is_converted_and_its_macs_counted(name):
    check_methods({name: Variant(layer=name)})
    with torch.device("meta"):
        model = convert(resnet18(), Variant(layer=name, skip_first=True)).eval()
    replaced = sum(isinstance(m, method_class(name)) for m in model.modules())
    try:
        method_class(name)(64, 128, 1, stride=2)
        expected = 19
    except UnsupportedConvError:
        expected = 16  # 3 of its convolutions are 1x1 shortcuts
    assert replaced == expected
    counted = complexity(model, (3, 72, 56))
    assert counted.params == sum(p.numel() for p in model.parameters())
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, 72, 56, device="meta"))
    assert counter.get_total_flops() == 2 * counted.macs_auto
