"""Ghost module: the formula, counts, budgets."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import linconv
from linconv.config import Variant
from linconv.methods.ghost import GhostConv2d
from tests.methods.common import (
    GEOMETRIES,
    GROUPED,
    by_hand,
    count,
    in_millions,
    measured,
    same_outputs_and_gradients,
    stages,
)

OPTIONS = [{"ratio": 4, "cheap_size": 5}]
REFUSED = [(GROUPED, {}, "groups=2"), (nn.Conv2d(8, 1, 3), {}, "at least 2 filters")]


def bias_additions(c, n, pixels):
    return 0  # the bias is added by itself


def ghost(c, n, k, inputs, pixels):
    maps = n // 2 * c * 9 + n // 2 * 9
    return maps + 2 * n, maps * pixels  # with a scale and a shift for every map in the batch norms inside


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("ratio", "cheap_size"), [(2, 3), (3, 1), (4, 5)])
@pytest.mark.parametrize("arguments", GEOMETRIES)
def test_the_first_feature_maps_make_the_rest(arguments, ratio, cheap_size, training):
    torch.manual_seed(0)
    options = {"ratio": ratio, "cheap_size": cheap_size, "dtype": torch.float64}
    layer = GhostConv2d(5, 9, **arguments, **options).train(training)
    layer.norm.running_mean.normal_()
    x = torch.randn(3, 5, 8, 9, dtype=torch.float64, requires_grad=True)

    def normed(maps, norm):
        stored = norm.running_mean.clone(), norm.running_var.clone()
        return F.batch_norm(maps, *stored, norm.weight, norm.bias, training, eps=norm.eps).clamp(min=0)

    conv = nn.Conv2d(5, math.ceil(9 / ratio), **arguments | {"bias": False}, dtype=torch.float64)
    maps = normed(torch.func.functional_call(conv, {"weight": layer.filters}, (x,)), layer.norm)
    made = [
        F.conv2d(maps[:, [j // (ratio - 1)]], cheap[None], padding=cheap_size // 2)
        for j, cheap in enumerate(layer.cheap_filters)
    ]
    expected = torch.cat([maps, normed(torch.cat(made, dim=1), layer.cheap_norm)], dim=1)
    if layer.bias is not None:
        expected = expected + layer.bias[:, None, None]
    same_outputs_and_gradients(layer(x), expected, [x, *layer.parameters()])


def relus(model):
    return {name: layer.relu for name, layer in model.named_modules() if isinstance(layer, GhostConv2d)}


def test_the_last_relu_is_left_to_a_network_that_has_its_own():
    """In `base` a ReLU follows, through batch norm; in a block's second convolution the addition comes first."""
    base = linconv.build_model("base", Variant(layer="ghost", skip_first=True))
    assert set(relus(base).values()) == {"network"}
    found = relus(linconv.build_model("resnet18", Variant(layer="ghost", skip_first=True)))
    for name, relu in found.items():
        assert relu == ("network" if name.endswith("conv1") else False), name
    assert len(found) == 19
    bare = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Conv2d(6, 4, 3), nn.ReLU())
    assert relus(linconv.convert(bare, Variant(layer="ghost"))) == {"0": False, "1": "network"}
    for asked in (True, False):
        options = Variant(layer="ghost", options={"relu": asked}, skip_first=True)
        assert set(relus(linconv.build_model("base", options)).values()) == {asked}
    assert GhostConv2d(4, 6, 3).relu is True, "no network, no ReLU but its own"


def test_with_the_networks_relu_it_is_the_sources_module():
    torch.manual_seed(0)
    source, left = GhostConv2d(3, 8, 3, bias=False), GhostConv2d(3, 8, 3, bias=False, relu="network")
    left.load_state_dict(source.state_dict())
    x = torch.randn(2, 3, 8, 8)
    assert (left(x) < 0).any()
    torch.testing.assert_close(F.relu(left(x)), source(x))


def test_where_a_network_cannot_be_followed_the_layer_keeps_its_relu(caplog):
    class Data(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x) if x.sum() > 0 else x

    with caplog.at_level("INFO", logger="linconv"):
        assert relus(linconv.convert(Data(), Variant(layer="ghost"))) == {"conv": True}
    assert "cannot be run without values" in caplog.text


def test_counts_are_those_of_the_formula():
    assert count(GhostConv2d(256, 512, 3, device="meta")) == 256 * 256 * 9 + 256 * 9 + 2 * 512 + 512
    quarter = GhostConv2d(256, 512, 3, ratio=4, cheap_size=5, device="meta")
    assert count(quarter) == 128 * 256 * 9 + 3 * 128 * 25 + 2 * 512 + 512
    shape = {"kernel_size": (3, 2), "stride": 2, "padding": 1}
    assert stages(GhostConv2d(6, 9, **shape), (4, 5), (8, 9)) == (5 * 36 * 20, 4 * 9 * 20)
    assert stages(GhostConv2d(6, 9, **shape, ratio=4), (4, 5), (8, 9)) == (3 * 36 * 20, 6 * 9 * 20)
    assert GhostConv2d(8, 12, 3).basis.shape == (6, 8, 3, 3)


@pytest.mark.parametrize(("architecture", "budget"), [("vgg11", ("4.64", "77.7")), ("resnet18", ("5.71", "284.0"))])
def test_networks_have_the_budgets_counted_by_hand(architecture, budget):
    counted = measured(architecture, "ghost", exclude=("*.shortcut.*",))
    assert counted == by_hand(architecture, ghost)
    assert in_millions(*counted) == budget


def test_the_budget_was_estimated_without_the_batch_norms_inside():
    def bare(c, n, k, inputs, pixels):
        params, macs = ghost(c, n, k, inputs, pixels)
        return params - 2 * n, macs

    assert in_millions(*by_hand("resnet18", bare)) == ("5.70", "284.0")


def test_options_are_whole_numbers_and_cheap_kernels_odd():
    for ratio in (1, 2.5):
        with pytest.raises(ValueError, match=f"ratio must be an int of at least 2, not {ratio}"):
            GhostConv2d(8, 8, 3, ratio=ratio)
    with pytest.raises(ValueError, match="cheap_size must be an odd int of at least 1, not 2"):
        GhostConv2d(8, 8, 3, cheap_size=2)
    with pytest.raises(ValueError, match="relu must be True, False, 'auto' or 'network', not 1"):
        GhostConv2d(8, 8, 3, relu=1)
