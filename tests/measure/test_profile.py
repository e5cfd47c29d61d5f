"""Profiles: every operation counts once, for the kind it belongs to."""

from __future__ import annotations

import shlex
import sys
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import DeviceType

from linconv import LinearConv2d
from linconv.cli import main
from linconv.config import VARIANTS
from linconv.measure import profile
from linconv.report.tables.profile import profiles
from linconv.results import read_result
from linconv.results.kinds import KINDS
from linconv.results.kinds.profile import ProfileResult
from linconv.training.penalties import penalty_terms
from tests.results.factory import make_config, measured_frame


class Known(nn.Module):
    """Two 3x3 convolutions, a 1x1, batch norm, ReLU, concatenation, addition, pooling of two kinds, a classifier."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.point = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.norm, self.classifier = nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x):
        x = self.first(x)
        x = torch.cat([self.second(x), self.point(x)], 1)
        x = F.relu(self.norm(x))
        x = F.adaptive_avg_pool2d(F.max_pool2d(x + x, 2), 1)
        return self.classifier(x.flatten(1))


def events_of(call):
    events = profile._events(call, "cpu")
    return events, profile.attribute(events, "cpu")


def outermost(found):
    return Counter((event.kind, event.operation) for event in found if event.outermost and event.kind != "rest")


def test_the_forward_pass_of_known_layers():
    model = Known()
    x = torch.randn(2, 3, 14, 14)
    _, found = events_of(profile._inference(model.eval(), x))
    assert outermost(found) == {
        ("k x k convolutions", "aten::conv2d"): 2,
        ("1 x 1 convolutions", "aten::conv2d"): 1,
        ("joining and copies", "aten::cat"): 1,
        ("joining and copies", "aten::add"): 1,
        ("batch norm", "aten::batch_norm"): 1,
        ("activation", "aten::relu"): 1,
        ("pooling", "aten::max_pool2d"): 1,
        ("pooling", "aten::adaptive_avg_pool2d"): 1,
        ("classifier", "aten::linear"): 1,
        ("between operations", "linconv: call"): 1,
    }


def test_the_backward_pass_of_known_layers():
    model = Known()
    x = torch.randn(2, 3, 14, 14)

    def call():
        model(x).square().sum().backward()

    _, found = events_of(call)
    backward = {key: n for key, n in outermost(found).items() if "Backward" in key[1] or "backward" in key[1]}
    assert backward.pop(("pooling", "MeanBackward1"), 0) + backward.pop(("pooling", "AdaptiveAvgPool2DBackward0"), 0)
    assert backward == {
        ("k x k convolutions", "aten::convolution_backward"): 2,
        ("1 x 1 convolutions", "aten::convolution_backward"): 1,
        ("joining and copies", "CatBackward0"): 1,
        ("joining and copies", "AddBackward0"): 1,
        ("batch norm", "NativeBatchNormBackward0"): 1,
        ("activation", "ReluBackward0"): 1,
        ("pooling", "MaxPool2DWithIndicesBackward0"): 1,
        ("classifier", "AddmmBackward0"): 1,
    }
    # x + x, its two gradients, and those of the first convolution's output; the counter of batch norm is no feature map
    assert sum(n for (_, operation), n in outermost(found).items() if operation in ("aten::add", "aten::add_")) == 3
    assert ("rest", "aten::add_") in {(event.kind, event.operation) for event in found}


def test_every_event_counts_once_and_all_of_them_are_the_call():
    model = Known()
    x = torch.randn(2, 3, 14, 14)
    events, found = events_of(lambda: model(x).sum().backward())
    events = [event for event in events if event.device_type == DeviceType.CPU]
    assert len(found) == len(events)
    (root,) = (event for event in events if event.name == profile.CALL)
    assert sum(event.microseconds for event in found) == pytest.approx(root.cpu_time_total, rel=1e-3)
    summary = profile.summarise("known", (0.5, 0.1, 0.2), [(1.0, found)])
    assert [kind.kind for kind in summary.kinds] == list(profile.OPERATION_KINDS)
    assert sum(kind.share for kind in summary.kinds) == pytest.approx(1)
    assert summary.profiled_milliseconds == pytest.approx(root.cpu_time_total / 1e3, rel=1e-3)
    assert summary.milliseconds == 200
    for kind in summary.kinds:
        own = sum(operation.milliseconds for operation in summary.operations if operation.kind == kind.kind)
        assert own == pytest.approx(kind.milliseconds)


def test_parts_count_by_their_weight():
    found = [profile.Attributed("pooling", "a", True, 1000.0), profile.Attributed("rest", "b", True, 500.0)]
    summary = profile.summarise("x", (1.0,), [(0.9, found[:1]), (0.1, found)])
    assert {k.kind: k.milliseconds for k in summary.kinds if k.milliseconds} == pytest.approx(
        {"pooling": 1.0, "rest": 0.05}
    )
    assert [(o.operation, o.calls) for o in summary.operations] == [("a", 1.0), ("b", 0.1)]


def test_the_regularizer_is_the_penalty_and_its_backward_pass_and_nothing_else():
    torch.manual_seed(0)
    model = nn.Sequential(LinearConv2d(3, 8, 3, mode="feature"), nn.ReLU(), LinearConv2d(8, 8, 3, mode="feature"))
    (term,) = (profile._labelled(term) for term in penalty_terms(VARIANTS["Lr"].regularizers))
    x = torch.randn(2, 3, 10, 10)

    def call():
        (model(x).square().sum() + term.weight * term.penalty(model)).backward()

    _, found = events_of(call)
    names = Counter(event.operation for event in found if event.kind == "regularizer" and event.outermost)
    assert names[profile.PENALTY] == 1
    assert names["autograd::engine::evaluate_function: _AbsCorrelationSumBackward"] == 2
    network = ("Convolution", "Relu", "Cat", "Pow")
    assert not [name for name in names if any(f"{part}Backward" in name for part in network)]
    kinds = outermost(found)
    assert kinds["activation", "ReluBackward0"] == 1
    assert sum(n for (kind, _), n in kinds.items() if kind.endswith("convolutions")) == 8


def test_weight_space_has_products_and_no_convolution_of_its_own():
    layer = LinearConv2d(3, 8, 3, mode="weight")
    _, found = events_of(profile._inference(layer, torch.randn(1, 3, 8, 8)))
    kinds = {kind for kind, _ in outermost(found)}
    assert kinds == {"k x k convolutions", "matrix products", "joining and copies", "between operations"}


@pytest.mark.parametrize("activity", [pytest.param("inference", marks=pytest.mark.slow), "training"])
def test_the_command(activity, tmp_path, monkeypatch, capsys):
    path = tmp_path / "profile.json"
    options = f"--architecture base --variant Lr --batch 2 --activity {activity} --threads 1 --output {path}"
    monkeypatch.setattr(sys, "argv", shlex.split(f"linconv measure profile {options}"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    result = read_result(path, ProfileResult)
    assert (result.activity, result.batch_size, result.channels_last) == (activity, 2, False)
    assert result.provenance.command.startswith("linconv measure profile --architecture base")
    times = {n.name: {kind.kind: kind.milliseconds for kind in n.kinds} for n in result.networks}
    assert times["plain"]["1 x 1 convolutions"] == times["plain"]["regularizer"] == 0
    assert (times["Lr"]["regularizer"] > 0) == (times["Lr"]["optimizer"] > 0) == (activity == "training")
    for network in result.networks:
        assert sum(kind.share for kind in network.kinds) == pytest.approx(1)
        calls = Counter()
        for operation in network.operations:
            calls[operation.kind] += operation.calls
        assert calls["batch norm"] == (4 if activity == "inference" else 8)
        assert calls["k x k convolutions"] == (4 if activity == "inference" else 8)
    out = capsys.readouterr().out
    assert out.startswith(f"architecture base, variant Lr, activity {activity}, batch_size 2")
    assert out.count("batch norm") == len(result.networks) == 2
    total, unprofiled = profiles(measured_frame("profile", [result])).rows[-2:]
    for column, network in zip((5, 7), result.networks, strict=True):
        assert total[column].value == pytest.approx(network.profiled_milliseconds)
        assert unprofiled[column].value == pytest.approx(network.milliseconds)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_profile_on_a_gpu():
    config = make_config(profile={"architectures": ["base"], "batches": [8], "activities": ["training"]})
    (key,) = KINDS["profile"].plan(config)
    result = profile.measure_profile(config, key, device="cuda", threads=1, command="")
    for network in result.networks:
        times = {kind.kind: kind.milliseconds for kind in network.kinds}
        assert min(times["k x k convolutions"], times["batch norm"], times["optimizer"]) > 0
        assert times["between operations"] == 0
