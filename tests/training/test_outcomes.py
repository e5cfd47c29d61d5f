"""The outcomes of a real run: they are those of the reported network, in an order that no container changes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from linconv.config import RunKey, resolve_run
from linconv.data import load
from linconv.results import RunResult, read_result
from linconv.results.outcomes import read_outcomes
from linconv.runner import perform_run
from tests.results.factory import make_config

KEY = RunKey("digits", "base", "conv", 0)


def trained(folder, monkeypatch, data, **changes):
    """A run of two epochs on `data`: its result and its outcomes as read again."""
    monkeypatch.setattr("linconv.training.run.load", lambda *_, **__: data)
    config = make_config(variants=["conv"], recipe={"overrides": [{"set": {"epochs": 2}}]}, device="cpu", **changes)
    perform_run(resolve_run(config, KEY), config, folder, "cpu", command="linconv train")
    result = read_result(folder / "result.json", RunResult)
    return result, read_outcomes(folder, result)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    data = load("digits", tmp_path_factory.mktemp("data"))
    few = slice(0, 200)
    return dataclasses.replace(data, train_images=data.train_images[few], train_labels=data.train_labels[few])


def test_outcomes_are_those_of_the_reported_network(digits, tmp_path, monkeypatch):
    result, outcomes = trained(tmp_path, monkeypatch, digits)
    assert 100 * outcomes.correct.sum() / len(outcomes.correct) == result.metrics.top1 < 100
    assert -outcomes.log_prob.mean(dtype=np.float64) == pytest.approx(result.metrics.test_loss, rel=2e-3)
    # the true class is the most probable one of ten
    assert (outcomes.log_prob[outcomes.correct] > np.log(0.1)).all()
    assert (outcomes.log_prob[~outcomes.correct] < np.log(0.5)).all()
    assert (result.metrics.train_loss, result.metrics.train_top1) == (
        result.history[-1].train_loss,
        result.history[-1].train_top1,
    )
    assert result.data == digits.content
    assert result.provenance.hardware["instruction_set"] == torch.backends.cpu.get_cpu_capability()
    # 400 images within the time of the process
    assert result.provenance.images_per_second > 400 / result.provenance.seconds


def test_outcomes_do_not_depend_on_the_order_of_the_files(digits, tmp_path, monkeypatch):
    """Of a container that holds the same test images in another order."""
    order = torch.randperm(len(digits.test_labels), generator=torch.Generator().manual_seed(0))
    places = torch.argsort(order)
    shuffled = dataclasses.replace(
        digits,
        test_images=digits.test_images[order],
        test_labels=digits.test_labels[order],
        test_order=places[digits.test_order],
    )
    first, here = trained(tmp_path / "a", monkeypatch, digits)
    second, there = trained(tmp_path / "b", monkeypatch, shuffled)
    assert first.metrics.top1 == second.metrics.top1
    assert np.array_equal(here.correct, there.correct)
    assert np.allclose(here.log_prob, there.log_prob, atol=2e-3)


def test_the_epoch_with_the_best_validation_is_the_one_whose_outcomes_are_kept(digits, tmp_path, monkeypatch):
    result, outcomes = trained(
        tmp_path, monkeypatch, digits, validation={"share": 0.2, "seed": 0}, report_epoch="best_validation"
    )
    assert result.metrics.selection == "best_validation"
    assert outcomes.correct.sum() == result.outcomes.correct
    assert result.outcomes.top1 == result.history[result.metrics.epoch - 1].test_top1


def test_outcomes_that_never_give_the_accuracy_are_left_out_with_a_warning(digits, tmp_path, monkeypatch, caplog):
    from linconv.training import outcomes

    def worse(*arguments):
        found = image_outcomes(*arguments)
        found.correct[:] = False
        return found

    image_outcomes = outcomes.image_outcomes
    monkeypatch.setattr(outcomes, "image_outcomes", worse)
    result, outcomes = trained(tmp_path, monkeypatch, digits)
    assert result.outcomes is outcomes is None
    assert not (tmp_path / "outcomes.npz").exists()
    assert [warning.code for warning in result.warnings] == ["outcomes_not_repeatable"]
    assert "the network gave a top-1 of 0 %" in result.warnings[0].message
    assert any("no outcomes per image are kept" in message for message in caplog.messages)
