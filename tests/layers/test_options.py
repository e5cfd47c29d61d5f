"""The options of a method: declared in `build`, checked in one place by their types, refused by name."""

import inspect
from typing import Annotated, Literal

import numpy as np
import pytest
from torch import nn

from linconv.config import VARIANTS
from linconv.config.methods import METHODS
from linconv.config.rules import rank_of, share_of
from linconv.layers import (
    ConvReplacement,
    Count,
    LinearConv2d,
    Positive,
    Rank,
    Rule,
    Share,
    convert,
    method_class,
    set_mode,
)

EVEN = Rule("an even number", lambda value: isinstance(value, int) and value % 2 == 0)


class Method(ConvReplacement):
    """Options of every kind."""

    def build(
        self,
        factory,
        *,
        count: Count = 2,
        share: Share | None = None,
        rank: Rank = 0.5,
        positive: Positive = 1.5,
        kind: Literal["a", "b"] = "a",
        flag: bool = False,
        even: Annotated[int, EVEN] = 2,
        free: int | str = 0,
    ):
        self.values = {"count": count, "share": share, "rank": rank, "free": free}

    def reset_parameters(self):
        pass


@pytest.mark.parametrize("name", METHODS)
def test_a_signature_is_that_of_conv2d_then_the_options(name):
    ours = inspect.signature(method_class(name)).parameters
    torchs = inspect.signature(nn.Conv2d).parameters
    assert list(ours)[: len(torchs)] == list(torchs)
    assert [(ours[n].default, ours[n].kind) for n in torchs] == [(p.default, p.kind) for p in torchs.values()]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in list(ours.values())[len(torchs) :])
    assert inspect.signature(method_class(name).__init__).parameters.keys() - ours.keys() == {"self"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count must be an int of at least 1, not 0"),
        ({"count": True}, "count must be an int of at least 1, not True"),
        ({"share": 1.0}, r"share must be a number in \(0, 1\), not 1.0"),
        ({"share": "0.5"}, r"share must be a number in \(0, 1\), not '0.5'"),
        ({"rank": 1.5}, r"rank must be an int of at least 1 or a float in \(0, 1\], not 1.5"),
        ({"rank": None}, "rank must be .*, not None"),
        ({"positive": float("inf")}, "positive must be a number above 0, not inf"),
        ({"kind": "c"}, "kind must be one of a, b, not 'c'"),
        ({"flag": 1}, "flag must be True or False, not 1"),
        ({"even": 3}, "even must be an even number, not 3"),
    ],
)
def test_a_value_that_its_type_does_not_allow_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Method(2, 4, 3, **options)


def test_values_that_are_allowed_reach_build_as_they_are():
    values = {"count": np.int64(3), "share": None, "rank": np.float32(0.5), "free": "anything"}
    assert Method(2, 4, 3, **values).values == values


def test_an_unknown_option_is_refused_with_the_nearest_one():
    with pytest.raises(TypeError, match=r"Method has no option 'shar'; did you mean 'share'\?"):
        Method(2, 4, 3, shar=0.5)
    with pytest.raises(TypeError, match="BSConvU2d has no option 'rank'; known: init"):
        method_class("bsconv_u")(2, 4, 3, rank=2)


@pytest.mark.parametrize("build", [lambda self, factory, count=2: None, lambda self, factory, *, count: None])
def test_an_option_that_is_positional_or_has_no_default_is_refused_when_the_class_is_made(build):
    with pytest.raises(TypeError, match="write the option 'count' after a \\* and give it a default"):
        type("Wrong", (ConvReplacement,), {"build": build})


def test_a_subclass_may_have_an_init_of_its_own():
    class Mine(LinearConv2d):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options | {"rank": 2})

    assert Mine(4, 8, 3, bias=False).coefficients.rank == 2


def test_shares_and_ranks_are_not_fooled_by_floating_point():
    assert share_of(0.29, 100) == 29
    assert [rank_of(rank, 16) for rank in (0.5, 0.01, 7, 40, 1.0, np.int64(3))] == [8, 1, 7, 16, 16, 3]


@pytest.mark.parametrize("name", METHODS)
def test_hasattr_of_weight_says_whether_there_is_one(name):
    layer = method_class(name)(16, 24, 3, padding=1)
    assert hasattr(layer, "weight") == layer.folds
    assert (getattr(layer, "weight", None) is None) != layer.folds


def test_an_init_that_needs_given_filters_is_listed_where_it_can_be_used():
    with pytest.raises(ValueError, match="init must be one of paper, variance_preserving, least_squares, not 'least'"):
        convert(nn.Conv2d(4, 8, 3), "L", init="least")
    with pytest.raises(ValueError, match="init 'least_squares' starts from the filters of a given convolution"):
        LinearConv2d(4, 8, 3, init="least_squares")


def test_a_mode_reaches_layers_that_have_several_forms_and_a_wrong_one_no_model():
    model = nn.Sequential(convert(nn.Conv2d(8, 8, 3), "L"), convert(nn.Conv2d(8, 8, 3), VARIANTS["LSr"]))
    assert [layer.mode for layer in set_mode(model, "feature")] == ["feature", "feature"]
    one_form = nn.Sequential(method_class("lowrank")(8, 8, 3), method_class("wconv")(8, 8, 3))
    assert [layer.forms for layer in set_mode(one_form, "weight")] == [("feature",), ("weight",)]
    assert [layer.resolve_form("weight", None) for layer in one_form] == ["feature", "weight"]
    assert [layer.resolve_form("folded", None) for layer in one_form] == ["folded", "folded"]
    with pytest.raises(ValueError, match="mode must be one of weight, feature, auto, not 'fast'"):
        set_mode(nn.Conv2d(8, 8, 3), "fast")
