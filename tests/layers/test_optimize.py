"""`optimize` keeps the outputs and takes the faster form of every layer."""

from __future__ import annotations

import copy
import importlib
from collections import Counter

import pytest
import torch
import torchvision
from torch import nn

import linconv
from linconv.layers.feature_space import FeatureSpace2d
from linconv.layers.linear_conv import LinearConv2d

optimize_module = importlib.import_module("linconv.layers.optimize")  # the package binds its name to the function


def faster(monkeypatch, wanted):
    """A clock by which the form `wanted` is the faster one."""

    def seconds(call, x, calls):
        call(x)
        return 1.0 if getattr(call, "name", wanted) == wanted else 2.0

    monkeypatch.setattr(optimize_module, "_seconds", seconds)


def trained(model):
    """Batch norm's statistics and parameters moved from where they start."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    model.train()
    model(torch.randn(4, 3, 32, 32, dtype=next(model.parameters()).dtype))
    return model


@pytest.mark.parametrize("wanted", ["folded", "feature", "product"])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("variant", ["L", "LRr"])
def test_outputs_are_equal_whatever_is_chosen(monkeypatch, wanted, batch_norm, variant):
    torch.manual_seed(0)
    faster(monkeypatch, wanted)
    model = trained(linconv.convert(torchvision.models.resnet18(num_classes=10), variant).double())
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    optimized = linconv.optimize(model, x, batch_norm=batch_norm)
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    expected = model.eval()(x)
    assert (optimized(x) - expected).abs().max() < 1e-10 * expected.abs().max()
    kinds = Counter(type(m) for m in optimized.modules())
    assert kinds[nn.BatchNorm2d] == (0 if batch_norm else 20)
    assert kinds[FeatureSpace2d] == (20 if wanted == "feature" else 0)
    assert kinds[LinearConv2d] == 0
    assert kinds[nn.Conv2d] == {"folded": 20, "feature": 40 + 20 * (variant == "LRr"), "product": 40}[wanted]
    assert not any(p.requires_grad for p in optimized.parameters())


def test_the_choice_is_made_layer_by_layer(monkeypatch):
    def seconds(call, x, calls):  # folding pays where there are few channels
        return float((getattr(call, "name", "folded") != "folded") == (x.shape[1] < 100)) + 1

    monkeypatch.setattr(optimize_module, "_seconds", seconds)
    optimized = linconv.optimize(linconv.build_model("base", "Lr"), torch.randn(2, 3, 32, 32))
    chosen = [type(m) for name, m in optimized.features.named_children() if name.startswith("conv")]
    assert chosen == [nn.Conv2d, nn.Conv2d, nn.Conv2d, FeatureSpace2d]


def test_the_whole_model_is_timed_before_layers_are_mixed(monkeypatch):
    def seconds(call, x, calls):  # alone, early layers are faster folded; in the model, all are faster in feature space
        if hasattr(call, "name"):
            return float((call.name != "folded") == (x.shape[1] < 100)) + 1
        kinds = Counter(type(m) for m in model_of(call).modules())
        return 1 / (1 + kinds[FeatureSpace2d])

    def model_of(call):
        seen = []
        hook = nn.modules.module.register_module_forward_pre_hook(lambda m, _: seen.append(copy.deepcopy(m)))
        call(x)
        hook.remove()
        return seen[0]

    monkeypatch.setattr(optimize_module, "_seconds", seconds)
    model, x = linconv.build_model("base", "Lr"), torch.randn(2, 3, 32, 32)
    optimized = linconv.optimize(model, x)
    assert sum(type(m) is FeatureSpace2d for m in optimized.modules()) == 4
    assert torch.allclose(optimized(x), model.eval()(x), atol=1e-4)


def test_one_form_alone_is_taken_untimed(monkeypatch):
    monkeypatch.setattr(optimize_module, "_seconds", lambda *_: pytest.fail("timed"))
    model, x = linconv.build_model("base", "LRr"), torch.randn(2, 3, 32, 32)
    kinds = {form: linconv.optimize(model, x, forms=(form,)).features.conv4 for form in ("folded", "feature")}
    assert type(kinds["folded"]) is nn.Conv2d
    assert [type(m) for m in kinds["feature"].combine] == [nn.Conv2d, nn.Conv2d]
    with pytest.raises(ValueError, match="unknown form 'weight'"):
        linconv.optimize(model, x, forms=("weight",))
    with pytest.raises(TypeError, match=r"forms: a list of forms is expected, such as \['feature'\], not 'feature'"):
        linconv.optimize(model, x, forms="feature")
    with pytest.raises(ValueError, match="name at least one of folded, feature, product"):
        linconv.optimize(model, x, forms=())


class Doubled(LinearConv2d):
    def forward(self, input):
        return 2 * super().forward(input)


class Shifted(LinearConv2d):
    @property
    def weight(self):
        return super().weight + 0.1


@pytest.mark.parametrize(("cls", "left_out"), [(Doubled, ["feature", "product", "folded"]), (Shifted, ["folded"])])
def test_a_form_with_other_outputs_is_never_chosen(caplog, cls, left_out):
    model, x = nn.Sequential(cls(3, 8, 3, mode="feature")).eval(), torch.randn(2, 3, 8, 8)
    assert torch.allclose(linconv.optimize(model, x)(x), model(x), atol=1e-5)
    assert [r.getMessage() for r in caplog.records] == [
        f"optimize: 0: the {form} form gives other outputs than the layer and is left out" for form in left_out
    ]


def test_grouped_and_unreached_layers_are_folded(monkeypatch):
    faster(monkeypatch, "feature")

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.grouped = LinearConv2d(4, 8, 3, groups=2)
            self.unused = LinearConv2d(4, 8, 3)
            self.used = LinearConv2d(8, 8, 3)

        def forward(self, x):
            return self.used(input=self.grouped(x))

    optimized = linconv.optimize(Two(), torch.randn(1, 4, 8, 8))
    assert type(optimized.grouped) is nn.Conv2d
    assert type(optimized.unused) is nn.Conv2d
    assert type(optimized.used) is FeatureSpace2d


def test_the_memory_layout_is_kept(monkeypatch):
    faster(monkeypatch, "folded")
    model = linconv.build_model("base", "Lr").to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    optimized = linconv.optimize(model, x)
    inner = [m for m in optimized.modules() if isinstance(m, nn.Conv2d)][1:]
    assert all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in inner)
    assert torch.allclose(optimized(x), model.eval()(x), atol=1e-4)


def test_a_single_layer_is_a_model():
    layer = LinearConv2d(3, 8, 3, bias=False)
    x = torch.randn(1, 3, 8, 8)
    assert torch.allclose(linconv.optimize(layer, x)(x), layer(x), atol=1e-5)


def test_a_sample_must_be_a_tensor():
    with pytest.raises(TypeError, match="must be a tensor, not tuple"):
        linconv.optimize(LinearConv2d(3, 8, 3), (3, 32, 32))


def test_a_model_that_keeps_a_tensor_of_its_last_pass_is_optimized():
    """`copy.deepcopy` refuses a tensor that autograd made."""

    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = linconv.LinearConv2d(3, 8, 3)
            self.last = None

        def forward(self, x):
            self.last = self.conv(x)
            return self.last

    model, x = Keeps(), torch.randn(2, 3, 9, 9)
    expected = model(x)
    torch.testing.assert_close(linconv.optimize(model, x)(x), expected)
    assert model.last is expected


class Stateful(nn.Module):
    """Makes a grid at its first call and counts its calls."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.grid = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), None
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        if self.grid is None:
            self.grid = torch.linspace(0, 1, x.shape[-1] - 2)
        self.calls += 1
        return self.norm(self.conv(x)) * self.grid * self.calls


def test_neither_the_model_nor_the_copy_has_seen_a_pass():
    model, x = Stateful(), torch.randn(2, 3, 9, 9)
    optimized = linconv.optimize(model, x)
    for each in (model, optimized):
        assert (float(each.calls), each.grid) == (0, None)
    assert isinstance(optimized.norm, nn.Identity)
    torch.testing.assert_close(optimized(x), copy.deepcopy(model).eval()(x))
    model.train()(x).sum().backward()
    optimized(x.requires_grad_()).sum().backward()


HOOKS = [
    lambda m, called: m.register_forward_hook(lambda *_: called.append(m)),
    lambda m, called: m.register_forward_pre_hook(lambda *_: called.append(m)),
    lambda m, called: m.register_full_backward_hook(lambda *_: called.append(m)),
    lambda m, called: m.register_full_backward_pre_hook(lambda *_: called.append(m)),
]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("place", ["layer", "inner", "norm", "plain"])
def test_hooks_are_not_lost(caplog, hook, place):
    torch.manual_seed(0)
    layers = [LinearConv2d(3, 8, 3, mode="feature"), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)]
    model, x = nn.Sequential(*layers, LinearConv2d(8, 8, 3)), torch.randn(2, 3, 12, 12)
    model(x)
    called = []
    hook({"layer": model[0], "inner": model[0].coefficients, "norm": model[1], "plain": model[2]}[place], called)
    optimized = linconv.optimize(model, x)
    called.clear()
    images = x.clone().requires_grad_()
    torch.testing.assert_close(optimized(images), model.eval()(x), rtol=1e-4, atol=1e-5)
    optimized(images).sum().backward()
    kept = [type(m) for m in optimized[:4]]
    assert (kept[0] is LinearConv2d) == (place in ("layer", "inner"))
    assert (kept[1] is nn.BatchNorm2d) == (place != "plain")
    assert (kept[3] is nn.BatchNorm2d) == (place == "plain")
    assert type(optimized[4]) is not LinearConv2d
    warned = ["optimize: 0 has hooks, which another form would not have, and stays as it is"]
    assert [r.getMessage() for r in caplog.records] == (warned if place in ("layer", "inner") else [])
    if place != "inner":  # whose forward a layer does not call
        assert called


class Twice(nn.Module):
    """Two layers of the same filters, each followed by batch normalization, then one used at two places."""

    def __init__(self, first):
        super().__init__()
        self.one, self.two, self.again = first, copy.deepcopy(first), first
        for path, parameter in first.named_parameters():
            owner, _, name = path.rpartition(".")
            if name != "bias":
                setattr(self.two.get_submodule(owner), name, parameter)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(2))

    def forward(self, x):
        return self.again(self.norms[1](self.two(self.norms[0](self.one(x)))))


@pytest.mark.parametrize("form", ["folded", "feature", "product", "chosen"])
@pytest.mark.parametrize("method", ["conv", "L", "LRr", "tucker"])
def test_tied_layers_stay_tied(caplog, form, method):
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, 3, padding=1)
    if method != "conv":
        layer = linconv.convert(nn.Sequential(layer), method, init="paper" if method[0] == "L" else "matched")[0]
    model, x = Twice(layer), torch.randn(2, 8, 12, 12)
    for norm in model.norms:
        norm.running_mean.normal_()
    caplog.clear()
    optimized = linconv.optimize(model, x, **({} if form == "chosen" else {"forms": [form]}))
    torch.testing.assert_close(optimized(x), model.eval()(x), rtol=1e-4, atol=1e-5)
    assert optimized.again is optimized.one
    assert type(optimized.one) is type(optimized.two)
    filters = [{n: p for n, p in m.named_parameters() if p.dim() > 1} for m in (optimized.one, optimized.two)]
    assert filters[0]
    assert all(filters[1][name] is parameter for name, parameter in filters[0].items())
    assert not caplog.records


def test_a_layer_that_shares_filters_with_another_kind_of_module_stays(caplog):
    torch.manual_seed(0)
    layer, plain = LinearConv2d(8, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)
    plain.weight = layer.primary_filters
    model, x = nn.Sequential(layer, plain), torch.randn(2, 8, 12, 12)
    optimized = linconv.optimize(model, x)
    torch.testing.assert_close(optimized(x), model.eval()(x))
    assert optimized[1].weight is optimized[0].primary_filters
    assert [r.getMessage() for r in caplog.records] == [
        "optimize: 0 shares parameters of its filters with 1, as another form would not, and stays as it is"
    ]


def test_one_layer_is_timed_once(monkeypatch):
    timed = []
    monkeypatch.setattr(optimize_module, "_least", lambda calls, x: timed.append(len(calls)) or 0)
    layer = linconv.LinearConv2d(3, 8, 3).eval()
    linconv.optimize(layer, torch.randn(1, 3, 8, 8))
    assert timed == [3]  # the forms of the layer; the model is not timed after it
