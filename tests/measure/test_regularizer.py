"""The cost of the correlation regularizer: what is timed, and how the samples are read."""

from __future__ import annotations

import shlex
import sys

import pytest
import torch

from linconv import build_model, convert, correlation_penalty
from linconv.cli import main
from linconv.config import ConfigError
from linconv.measure import steps
from linconv.measure.regularizer import measure_regularizer, penalty_by_autograd
from linconv.report.tables.regularizer import regularizer_costs
from linconv.results import read_result
from linconv.results.kinds import KINDS
from linconv.results.kinds.regularizer import RegularizerResult, TimedCall, band, call_costs
from tests.results.factory import make_config, measured_frame

QUICK = {"architectures": ["base"], "batches": [2], "rounds": 3, "block_seconds": 1e-4}


def measure(variant):
    config = make_config(regularizer=QUICK | {"variants": [variant]})
    (key,) = KINDS["regularizer"].plan(config)
    return measure_regularizer(config, key, device="cpu", threads=1, command="x")


@pytest.fixture(scope="module")
def measured():
    return measure("LRr")


def test_the_straightforward_form_is_the_same_penalty():
    torch.manual_seed(0)
    model = build_model("base", "Lr").double()
    values, gradients = [], []
    for penalty in (correlation_penalty, penalty_by_autograd):
        model.zero_grad()
        value = penalty(model)
        value.backward()
        values.append(value.detach())
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(*values)
    assert len(gradients[0]) == 4
    torch.testing.assert_close(*gradients)


def test_a_result_for_real(measured):
    assert [arm.name for arm in measured.arms] == [
        *("step", "step again", "step with penalty", "penalty", "penalty by autograd")
    ]
    assert all(len(arm.seconds_per_call) == 3 and min(arm.seconds_per_call) > 0 for arm in measured.arms)
    assert measured.filters == [(16, 27), (32, 288), (64, 576), (128, 1152)]
    assert (measured.period, measured.provenance.command) == (10, "x")
    assert measured_frame("regularizer", [measured])["layers"].tolist() == [4] * 5


def test_only_the_step_with_the_penalty_has_it_in_its_loss(monkeypatch):
    seen = []
    monkeypatch.setattr(steps, "EagerStep", lambda *a: lambda x, y, terms: seen.append((id(a[0]), terms)))
    measure("LSr")
    terms_of = {}
    for model, terms in seen:
        terms_of.setdefault(model, set()).add(terms)
    assert sorted(tuple(len(terms) for terms in all_terms) for all_terms in terms_of.values()) == [(0,), (0,), (1,)]
    (term,) = {term for _, terms in seen for term in terms}  # the correlation regularizer alone, not the L1 term
    model = convert(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)), "LSr")
    torch.testing.assert_close(term.penalty(model), correlation_penalty(model))


def test_costs_are_paired_within_rounds_and_averaged_over_the_period(measured):
    samples = {  # the machine is twice as slow in the second round
        "step": (1.0, 2.0, 1.0),
        "step again": (1.02, 2.0, 0.98),
        "step with penalty": (1.2, 2.4, 1.1),
        "penalty": (0.2, 0.4, 0.3),
        "penalty by autograd": (0.4, 0.6, 0.4),
    }
    arms = [TimedCall(name=name, calls=1, seconds_per_call=seconds) for name, seconds in samples.items()]
    result = measured.model_copy(update={"arms": arms})
    step, again, both, penalty, plain = call_costs(result)
    assert (step.ratio, step.milliseconds, step.averaged, again.averaged) == (1, 1000, None, None)
    assert (both.ratio, both.averaged) == pytest.approx((1.2, 0.02))
    assert (penalty.ratio, penalty.low, penalty.high, penalty.averaged) == pytest.approx((0.2, 0.2, 0.25, 0.02))
    assert (plain.ratio, plain.averaged) == pytest.approx((0.4, 0.04))
    assert band(result) == pytest.approx(0.01)
    table = regularizer_costs(measured_frame("regularizer", [result]))
    assert [cell.text for cell in table.rows[3][5:6] + table.rows[3][8:]] == ["1.0", "0.200 (0.200 to 0.250)", "+2.00"]
    assert table.rows[0][9] == ""
    rows = KINDS["regularizer"].rows({None: result})["regularizer"]
    assert [row["averaged"] for row in rows] == [cost.averaged for cost in call_costs(result)]


def test_a_variant_without_it_is_refused():
    with pytest.raises(ConfigError, match=r"regularizer\.variants: 'L' has no correlation regularizer; one that"):
        measure("L")


def test_the_command(tmp_path, monkeypatch, capsys):
    path = tmp_path / "regularizer.json"
    options = f"--architecture base --variant Lr --batch 1 --rounds 3 --threads 1 --channels-last --output {path}"
    monkeypatch.setattr(sys, "argv", shlex.split(f"linconv measure regularizer {options}"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    result = read_result(path, RegularizerResult)
    assert (result.batch_size, result.channels_last, result.provenance.numerics["channels_last"]) == (1, True, True)
    assert result.provenance.command.startswith("linconv measure regularizer --architecture base")
    assert "penalty by autograd" in capsys.readouterr().out
