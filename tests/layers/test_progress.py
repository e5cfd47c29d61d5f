"""Work that takes long says how far it is; other work says nothing."""

import logging
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import linconv
from linconv.layers import progress
from linconv.measure import latency


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(latency, "BLOCK_SECONDS", 1e-5)
    monkeypatch.setattr(import_module("linconv.layers.optimize"), "BLOCK_SECONDS", 1e-5)


def network():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten())


def said(caplog):
    return [
        record.getMessage().partition(" after ")[0] for record in caplog.records if record.levelno >= logging.WARNING
    ]


def test_every_ten_seconds_a_line_says_how_much_is_done(monkeypatch, caplog):
    seconds = iter([0, 4, 11, 15, 20, 22, 40])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    assert list(progress.watched("abcdef", "plan", 6, "steps")) == list("abcdef")
    assert [record.getMessage() for record in caplog.records] == [
        "plan: 2 of 6 steps after 11 s",
        "plan: 5 of 6 steps after 22 s",
    ]


def test_every_function_that_may_take_long_says_how_far_it_is(monkeypatch, caplog):
    size, batches = (3, 10, 10), [(torch.randn(2, 3, 10, 10), torch.tensor([0, 1]))]
    model = linconv.convert(network(), "L", init="paper")
    calls = {
        "convert": lambda: linconv.convert(network(), "L", init="paper"),
        "optimize": lambda: linconv.optimize(model, torch.randn(1, *size)),
        "sensitivity": lambda: linconv.sensitivity(network(), F.cross_entropy, batches),
        "plan": lambda: linconv.plan(
            network(), size, params=0.8, loss=F.cross_entropy, batches=batches, variants=["L"]
        ),
    }
    for name, call in calls.items():
        caplog.clear()
        call()
        assert not said(caplog), name
        with monkeypatch.context() as patch:
            patch.setattr(progress, "PROGRESS_SECONDS", -1)
            call()
        unit = "replacements measured" if name == "plan" else "layers"
        assert said(caplog) == [f"{name}: {done} of 3 {unit}" for done in (1, 2)]


def test_layers_of_one_kind_are_timed_once(monkeypatch, caplog):
    """The second and the fourth convolution have one geometry, and inputs of one size."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), *(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3)))
    model[2] = nn.Conv2d(8, 8, 3, padding=1, bias=False)
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", -1)
    pairs = [(name, 0) for name in "0123"]
    seconds, _ = latency.layer_seconds(model, [linconv.Variant(layer="linear")], pairs, (3, 10, 10))
    assert seconds.keys() == {*pairs, *((name, None) for name, _ in pairs)}
    assert seconds["1", 0] == seconds["3", 0]
    assert seconds["1", 0] != seconds["2", 0]
    assert said(caplog) == ["plan: 1 of 3 kinds of layers timed", "plan: 2 of 3 kinds of layers timed"]
