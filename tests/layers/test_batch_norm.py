"""Batch normalization folds exactly into a convolution and into a LinearConv, and only where nothing else sees it."""

from __future__ import annotations

import copy
import types

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import linconv
from linconv.layers.batch_norm import find_norms, fold_into_conv, fold_into_linear, scale_and_shift
from linconv.layers.exact_forms import equal
from linconv.layers.feature_space import FeatureSpace2d, Product2d, feature_space, product_form
from linconv.layers.linear_conv import LinearConv2d


def trained_norm(channels, **options):
    norm = nn.BatchNorm2d(channels, **options).double().eval()
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.1, 4)
        if norm.affine:
            norm.weight.normal_()
            norm.bias.normal_()
    return norm


def largest(found, expected):
    return float(((found - expected).abs().max() / expected.abs().max()).detach())


LAYERS = {"full": {}, "quarter": {"primary_ratio": 0.25}, "rank": {"rank": 3}, "sparse": {"sparsity": 0.5}}


@pytest.mark.parametrize("norm_options", [{}, {"affine": False}], ids=["affine", "plain"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_every_form_equals_layer_then_norm(options, bias, norm_options):
    torch.manual_seed(0)
    layer = LinearConv2d(5, 11, 3, stride=2, padding=1, bias=bias, dtype=torch.float64, **options).eval()
    if options.get("sparsity"):
        layer.coefficients.mask.copy_(torch.rand(layer.coefficients.mask.shape) > 0.5)
    norm = trained_norm(11, **norm_options)
    x = torch.randn(2, 5, 9, 9, dtype=torch.float64)
    expected = norm(layer(x))
    before = copy.deepcopy(layer.state_dict())
    folded = fold_into_linear(layer, norm)
    assert type(folded.coefficients) is type(layer.coefficients)
    for mode in ("weight", "feature"):
        folded.mode = mode
        assert largest(folded(x), expected) < 1e-12
    assert largest(feature_space(folded)(x), expected) < 1e-12
    assert largest(product_form(layer)(x), layer(x)) < 1e-12
    assert largest(product_form(layer, *scale_and_shift(norm))(x), expected) < 1e-12
    assert largest(fold_into_conv(layer.to_conv2d(), norm)(x), expected) < 1e-12
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_groups_fold_in_weight_space():
    layer, norm = LinearConv2d(4, 8, 3, groups=2, dtype=torch.float64).eval(), trained_norm(8)
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    assert largest(fold_into_linear(layer, norm)(x), norm(layer(x))) < 1e-12


def test_a_primary_scale_of_zero_folds_by_the_product_with_the_identity():
    layer, norm = LinearConv2d(4, 8, 3, dtype=torch.float64).eval(), trained_norm(8)
    with torch.no_grad():
        norm.weight[1] = 0
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    assert fold_into_linear(layer, norm) is None
    model = nn.Sequential(layer, norm)
    for form, kinds in (("product", [Product2d, nn.Identity]), ("feature", [FeatureSpace2d, nn.BatchNorm2d])):
        optimized = linconv.optimize(model, x, forms=(form,))
        assert [type(m) for m in optimized] == kinds
        assert largest(optimized(x), model(x)) < 1e-12


class Block(nn.Module):
    """A convolution and a norm, whose connection the subclasses spoil."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.other = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.norm(self.conv(x))


class Shared(Block):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.norm(self.conv(x + 1))


class Skipped(Block):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


class Returned(Block):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y), {"before": [y]}


class Viewed(Block):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + self.other(y[:, :4])


class ChangedInPlace(Block):
    def forward(self, x):
        return self.norm(self.conv(x).relu_())


class Before(Block):
    def forward(self, x):
        return self.norm(self.conv(x) * 2)


class ByKeyword(Block):
    def forward(self, x):
        return self.norm(input=self.conv(input=x))


@pytest.mark.parametrize("cls", [Block, ByKeyword])
def test_a_norm_that_alone_takes_the_output_is_found(cls):
    model = cls().eval()
    assert find_norms(model, torch.randn(2, 3, 6, 6)) == {model.conv: model.norm}


@pytest.mark.parametrize("cls", [Shared, Skipped, Returned, Viewed, ChangedInPlace, Before])
def test_an_output_that_something_else_sees_keeps_its_norm(cls):
    torch.manual_seed(0)
    model, x = cls().eval(), torch.randn(2, 3, 6, 6)
    assert find_norms(model, x) == {}
    model.norm = trained_norm(4).float()
    expected, found = model(x), linconv.optimize(model, x)(x)
    if isinstance(expected, tuple):
        assert torch.equal(found[1]["before"][0], expected[1]["before"][0])
        expected, found = expected[0], found[0]
    assert torch.equal(found, expected)


def test_norms_with_batch_statistics_or_hooks_stay():
    x = torch.randn(2, 3, 6, 6)
    model = Block().eval()
    model.norm = nn.BatchNorm2d(4, track_running_stats=False)
    assert find_norms(model, x) == {}
    model = Block().eval()
    model.norm.register_forward_hook(lambda *_: None)
    assert find_norms(model, x) == {}


class AsksItsNorm(Block):
    def forward(self, x):
        return self.norm(self.conv(x)) * self.norm.num_features


def test_a_model_that_needs_its_norm_keeps_it(caplog):
    model, x = AsksItsNorm().eval(), torch.randn(2, 3, 6, 6)
    optimized = linconv.optimize(model, x)
    assert type(optimized.norm) is nn.BatchNorm2d
    assert torch.equal(optimized(x), model(x))
    assert "batch normalization stays" in caplog.text


@pytest.mark.parametrize("build", [torchvision.models.resnet18, torchvision.models.mobilenet_v2])
def test_all_norms_of_a_plain_network_are_folded(build):
    torch.manual_seed(0)
    model = build(num_classes=10).double().train()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    model(x)
    optimized = linconv.optimize(model, x)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in optimized.modules())
    assert model.training
    assert largest(optimized(x), model.eval()(x)) < 1e-10


class Packed(Block):
    """Returns more than one tensor, which depend on the filters or on what comes before the norm."""

    def __init__(self, pack):
        super().__init__()
        self.pack, self.kept = pack, None

    def forward(self, x):
        y = self.conv(x)
        if self.pack == "attribute":
            self.kept = {"maps": [y]}
        z = self.norm(y)
        match self.pack:
            case "tied":
                return F.conv_transpose2d(z, self.conv.weight), z
            case "penalty":
                return {"y": z, "penalty": self.conv.weight.square().sum()}
            case "object":
                return types.SimpleNamespace(before=y, y=z)
            case "attribute":
                return z


@pytest.mark.parametrize("pack", ["tied", "penalty", "object", "attribute"])
def test_a_norm_stays_whatever_the_outputs_are_packed_in(pack):
    torch.manual_seed(0)
    model, x = Packed(pack), torch.randn(2, 3, 9, 9)
    model(3 * x + 1)
    model.eval()
    optimized = linconv.optimize(model, x)
    assert equal(optimized(x), model(x))
    assert equal(optimized.kept, model.kept)
    assert any(isinstance(m, nn.BatchNorm2d) for m in optimized.modules())


def test_outputs_are_compared_in_all_their_tensors():
    a, b = torch.rand(3), torch.rand(3)
    masked = a.masked_fill(torch.tensor([True, False, False]), -torch.inf)
    for pack in (lambda t: (a, t), lambda t: {"a": [t]}, lambda t: types.SimpleNamespace(t=t), lambda t: t + 0j):
        assert equal(pack(a), pack(a + 1e-8))
        assert not equal(pack(a), pack(b))
        assert equal(pack(masked), pack(masked.clone()))
        assert not equal(pack(a), pack(masked))
        assert not equal(pack(masked), pack(a))
    assert not equal((a, b), (a,))
