"""Regularizers in a training: where they act, and where no filters can satisfy them."""

import pytest
from torch import nn

from linconv import LinearConv2d, conv_orthogonal_penalty, correlation_penalty, orthogonal_penalty
from linconv.config import Regularizer, RunKey, resolve_run
from linconv.results import RunResult, read_result
from linconv.runner import perform_run
from linconv.training.penalties import penalty_terms
from linconv.training.run import warn_where_never_orthogonal
from tests.results.factory import make_config
from tests.training.short import few_images


def test_every_regularizer_acts_where_it_is_told_to():
    layers = nn.Sequential(LinearConv2d(3, 8, 3), LinearConv2d(8, 8, 3))
    functions = {
        "correlation": lambda on: correlation_penalty(layers, on=on),
        "orthogonal": lambda on: orthogonal_penalty(layers, on),
        "conv_orthogonal": lambda on: conv_orthogonal_penalty(layers, on),
    }
    for name, function in functions.items():
        terms = penalty_terms(tuple(Regularizer(name=name, acts_on=on) for on in ("primaries", "filters")))
        assert [t.penalty(layers) for t in terms] == [function("primaries"), function("filters")]
        assert terms[0].penalty(layers) != terms[1].penalty(layers)


def test_layers_that_cannot_become_orthogonal_are_named_in_the_log(caplog):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 1, stride=2))
    warn_where_never_orthogonal((Regularizer(name="orthogonal", acts_on="filters"),), model)
    assert not caplog.messages
    warn_where_never_orthogonal((Regularizer(name="conv_orthogonal", acts_on="filters"),), model)
    (message,) = caplog.messages
    assert message.startswith("conv_orthogonal: no filters make layer 1 orthogonal: 8 orthonormal rows need")


@pytest.mark.parametrize(
    ("names", "expected"),
    [((), None), (("orthogonal",), None), (("conv_orthogonal",), [f"features.conv{i}" for i in (2, 3, 4)])],
)
def test_layers_that_cannot_become_orthogonal_are_in_the_result(names, expected, tmp_path, monkeypatch):
    """A quarter of 64 filters gives no rank of 32, that of the inputs, and so on; a quarter of 32 does for the stem."""
    monkeypatch.setattr("linconv.training.run.load", lambda *_, **__: few_images())
    regularizers = [{"name": name, "acts_on": "filters"} for name in names]
    quarter = {"layer": "linear", "options": {"primary_ratio": 0.25}, "regularizers": regularizers}
    config = make_config(
        datasets=["synthetic"],
        define={"quarter": quarter},
        variants=["conv", "quarter"],
        device="cpu",
        recipe={"overrides": [{"set": {"epochs": 1}}]},
    )
    run = resolve_run(config, RunKey("synthetic", "base", "quarter", 0))
    perform_run(run, config, tmp_path, "cpu", command="linconv train")
    found = read_result(tmp_path / "result.json", RunResult).warnings
    assert {warning.code for warning in found} <= {"never_orthogonal"}
    assert [warning.layer for warning in found] == (expected or [])
    assert not found or found[0].message == "a rank of 32 is needed, and the 16 primary filters give no more"
