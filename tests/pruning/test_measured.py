"""Pruned variants are measured before they are trained, as the network that their training leaves."""

from collections import Counter

import pytest

from linconv.config import parse_config
from linconv.measure import network, profile, regularizer, steps, throughput
from linconv.measure.complexity import complexity
from linconv.measure.planned import measure_planned
from linconv.results import read_result
from linconv.results.kinds import KINDS
from linconv.results.kinds.throughput import ThroughputResult, timings
from tests.pruning.test_configuration import L1, raw
from tests.training.short import params

DECORRELATED = L1 | {"regularizers": [{"name": "correlation", "acts_on": "filters", "period": 10}]}
QUICK = {"batches": [2], "rounds": 3, "block_seconds": 1e-4, "architectures": ["base"], "variants": ["X"]}
QUICK |= {"input_shape": [1, 32, 32]}


def measure(kind, function, **changes):
    """The only result that a quick block of options asks for."""
    config = parse_config(raw(L1["pruning"], define={"X": DECORRELATED}, **{kind: QUICK | changes}))
    (key,) = KINDS[kind].plan(config)
    return function(config, key, device="cpu", threads=1, command="x")


def built(definition):
    return network.measured_network(
        "base", definition, input_shape=(1, 32, 32), classes=10, device="cpu", channels_last=False
    )


@pytest.fixture
def pruned():
    return parse_config(raw(L1["pruning"], define={"X": DECORRELATED})).known_variants["X"]


@pytest.fixture
def trained(monkeypatch):
    """The parameters of the networks that training steps were made with."""
    seen = Counter()

    def counting(model, *others, step=steps.EagerStep):
        made = step(model, *others)
        return lambda *batch: seen.update([params(model)]) or made(*batch)

    monkeypatch.setattr(steps, "EagerStep", counting)
    return seen


@pytest.mark.parametrize("criterion", ["l1", "betarank", "masksparsity", "dcff"])
@pytest.mark.parametrize(("share", "trained"), [(0.525, (209_445, 7_545_512)), (0.2525, (100_709, 3_645_544))])
def test_what_is_measured_has_the_parameters_and_macs_of_what_was_trained(criterion, share, trained):
    """`trained`: the results of real runs on the digits, three seeds of each."""
    model = built(parse_config(raw({"criterion": criterion, "params": share})).known_variants["X"])
    assert (params(model), complexity(model, (1, 32, 32)).macs_folded) == trained


def test_a_pruned_variant_is_timed(tmp_path, monkeypatch, trained):
    config = parse_config(raw({"criterion": "l1", "params": 0.525}, throughput=QUICK))
    inferred = Counter()

    def spy(key, model, x, inference=throughput._inference):
        inferred[params(model)] += 1
        return inference(key, model, x)

    monkeypatch.setattr(throughput, "_inference", spy)
    monkeypatch.setattr(throughput, "peak_memory", lambda *_: {})  # takes longer than all else
    monkeypatch.setattr(throughput, "held_memory", lambda _: 0)
    measure_planned("throughput", config, tmp_path, device="cpu", threads=1, command="")
    cells = {path.stem: read_result(path, ThroughputResult) for path in (tmp_path / "throughput").iterdir()}
    assert [t.arm.name for t in timings(cells["base_inference_b2_fp32_eager"])] == [
        *("plain", "plain again", "X auto", "X weight", "X folded", "X optimized")
    ]
    # plain twice; auto, weight, folded; optimized, whose batch norms are folded as well
    assert inferred == {399_050: 2, 209_445: 3, 208_753: 1}
    assert len(timings(cells["base_training_b2_fp32_eager"])) == 4
    assert trained.keys() == {399_050, 209_445}


@pytest.mark.parametrize("activity", ["inference", "training"])
def test_a_pruned_variant_is_profiled(activity, pruned, monkeypatch, trained):
    seen = Counter()

    def counting(model, _):
        return lambda: seen.update([params(model)])

    monkeypatch.setattr(profile, "_inference", counting)
    profiled = [profile.Attributed("rest", "x", True, 1.0)]
    monkeypatch.setattr(profile, "_quickest", lambda call, *_: call() or profiled)
    measure("profile", profile.measure_profile, activities=[activity])
    called, idle = (seen, trained) if activity == "inference" else (trained, seen)
    assert called.keys() == {399_050, params(built(pruned))}
    assert not idle


def test_the_regularizer_of_a_pruned_variant_is_timed_on_what_the_cut_leaves(pruned, trained):
    result = measure("regularizer", regularizer.measure_regularizer)
    small = built(pruned)
    convolutions = [getattr(small.features, f"conv{i}") for i in (1, 2, 3, 4)]
    assert result.filters == [(c.out_channels, c.in_channels * 9) for c in convolutions]
    assert result.filters[0][0] < 32
    assert trained.keys() == {params(small)}
