"""What convert refuses by name, and trained filters that it does not draw anew silently."""

import copy
import re

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from linconv import Variant, convert, replaced_layers
from linconv.catalogue.methods import METHODS
from linconv.layers import method_class
from tests.layers.test_conversion_safety import messages


def trained():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    model(torch.randn(4, 3, 8, 8))
    return model


@pytest.mark.parametrize(
    ("layer", "options", "remedy"),
    [
        ("L", {}, "init='least_squares' starts from them"),
        ("L", {"init": "paper"}, "init='least_squares' starts from them"),
        ("lowrank", {}, "init='svd' starts from them"),
        ("ghost", {}, "GhostConv2d cannot start from them"),
        ("L", {"init": "least_squares"}, None),
    ],
)
def test_trained_filters_are_not_drawn_anew_silently(caplog, layer, options, remedy):
    convert(trained(), layer, **options)
    found = [message for level, message in messages(caplog) if level == "WARNING"]
    assert len(found) == (remedy is not None)
    assert all("is trained" in message and message.endswith(remedy) for message in found)


@pytest.mark.parametrize(
    ("layer", "remedy"),
    [
        (
            "L",
            "init='least_squares' starts from those of a trained model, and init='paper' says that new ones are wanted",
        ),
        (Variant(layer="linear"), "init='least_squares' starts from those of a trained model, and init='paper' .*"),
        ("lowrank", "init='svd' starts from those of a trained model.*"),
        ("ghost", "GhostConv2d cannot start from trained ones"),
    ],
)
def test_filters_that_may_be_trained_are_not_drawn_anew_silently(caplog, layer, remedy):
    convert(nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8)), layer)
    ((level, message),) = messages(caplog)
    assert level == "WARNING"
    assert re.search(f"; the filters are drawn anew: {remedy}$", message)


@pytest.mark.parametrize(
    ("model", "variant", "options"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3)), "L", {"init": "least_squares"}),
        (nn.Sequential(nn.Conv2d(3, 8, 3)), "L", {"init": "paper"}),
        (nn.Sequential(nn.Conv2d(3, 8, 3)), Variant(layer="linear", options={"init": "paper"}), {}),
        (nn.Sequential(nn.Conv2d(3, 8, 3, device="meta")), "L", {}),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), "L", {}),
    ],
)
def test_filters_that_are_new_or_meant_to_be_warn_nobody(caplog, model, variant, options):
    convert(copy.deepcopy(model), variant, **options)
    assert messages(caplog) == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"variant": None},
            TypeError,
            r"variant must be a name, .* or a linconv.Variant, not None",
        ),
        ({"include": "0*"}, TypeError, r"include and exclude: a list of patterns is expected, .* not '0\*'"),
        ({"exclude": "0"}, TypeError, "not '0'"),
        ({"include": [0]}, TypeError, r"not \[0\]"),
        ({"rank": "10"}, ValueError, "rank must be an int .* not '10'"),
        ({"primary_ratio": "0.5"}, ValueError, "primary_ratio must be a number .* not '0.5'"),
        ({"init": "least_square"}, ValueError, "init must be one of paper, variance_preserving, least_squares, not"),
        ({"init": "svd"}, ValueError, "init must be one of paper, variance_preserving, least_squares, not"),
        ({"rnk": 10}, ValueError, "layer 'linear' has no option 'rnk'; did you mean 'rank'"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, error, message):
    model = nn.Sequential(nn.Conv2d(3, 8, 3))
    with pytest.raises(error, match=message):
        convert(model, **arguments)
    assert type(model[0]) is nn.Conv2d


@pytest.mark.parametrize(("layer", "init"), [("L", "least_squares"), ("tucker", "svd"), ("lowrank", "svd")])
def test_filters_that_are_not_finite_are_refused_with_the_layers_name(layer, init):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(nn.Conv2d(8, 8, 3)))
    with torch.no_grad():
        model[1][0].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"^1\.0: init '.*' cannot start from filters with values that are not finite"):
        convert(model, layer, init=init)
    assert not replaced_layers(model)


@pytest.mark.parametrize("layer", METHODS)
def test_no_method_takes_complex_filters(layer):
    with pytest.raises(ValueError, match=r"has real filters of floating point, not torch\.complex64"):
        method_class(layer)(16, 16, 3, padding=1, dtype=torch.complex64)


@pytest.mark.parametrize("layer", METHODS)
def test_fusing_batch_norm_into_a_new_layer_is_one_plain_error(layer):
    new = convert(nn.Conv2d(16, 16, 3, padding=1), layer).eval()
    with pytest.raises(AttributeError, match=r"has no attribute 'weight'|fold the model first \(linconv.fold\)"):
        fuse_conv_bn_eval(new, nn.BatchNorm2d(16).eval())
