"""The epoch that is reported: the last, or the best on the validation part, and the same after an interruption."""

import json
import logging

import pytest
import torch
import yaml
from torch import nn

from linconv.config import ConfigError, Recipe, RunKey, load_config, parse_config, resolve_run
from linconv.measure.redundancy import filter_banks, redundancy
from linconv.models import build_model
from linconv.report import render_tables
from linconv.report.source import load_experiment
from linconv.results import RunResult, read_result
from linconv.results.collect import collect
from linconv.runner import perform_run
from linconv.training import run as training_run
from linconv.training.callbacks import BestEpoch, CheckpointCallback, LogLines
from linconv.training.checkpoint import restore_checkpoint
from linconv.training.engine import Callback, Training, fit

CONFIG = {
    "experiment": "val",
    "datasets": ["synthetic"],
    "architectures": ["base"],
    "variants": ["Lr"],
    "seeds": [0],
    "validation": {"share": 0.2},
    "report_epoch": "best_validation",
    "device": "cpu",
    "keep_weights": True,
    # soon every validation image is right, so that the earliest of several best epochs counts
    "recipe": {"overrides": [{"set": {"epochs": 3, "batch_size": 20}}]},
    "complexity": {"architectures": ["base"]},
}
KEY = RunKey("synthetic", "base", "Lr", 0)


def perform(folder, **changes):
    config = parse_config(CONFIG | changes)
    return perform_run(resolve_run(config, KEY), config, folder, "cpu", command="test")


def scripted(accuracies, callbacks):
    """A training whose validation accuracy follows a script: each epoch's part holds that share of right answers."""
    model = nn.Linear(1, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0], [1.0]]))
        model.bias.zero_()
    right, wrong = torch.tensor([1]), torch.tensor([0])
    x = torch.ones(1, 1)

    def validation(epoch):
        n = accuracies[epoch]
        return iter([(x, right)] * n + [(x, wrong)] * (10 - n))

    batches = [(x, right)]
    recipe = Recipe(optimizer="sgd", learning_rate=0.1, epochs=len(accuracies))
    return Training(model, recipe, lambda e: iter(batches), lambda e: iter(batches), 1, (), callbacks, validation)


def test_the_best_epoch_is_the_earliest_of_equal_ones_and_its_model_is_kept():
    weights = []

    class Record(Callback):
        def on_epoch_end(self, training):
            weights.append(training.model.weight.detach().clone())

    best = BestEpoch()
    done = fit(scripted([3, 7, 5, 7, 6], [best, Record()]))
    assert [epoch.val_top1 for epoch in done.history] == [30, 70, 50, 70, 60]
    assert (best.epoch, best.top1) == (2, 70)
    assert torch.equal(best.model["weight"], weights[1])
    assert not torch.equal(weights[1], weights[4])


def test_the_best_epoch_survives_an_interruption(tmp_path):
    class Die(Callback):
        def on_epoch_end(self, training):
            if training.epoch == 3:
                raise KeyboardInterrupt

    script = [3, 7, 5, 6, 6]
    best = BestEpoch()
    fit(scripted(script, [best]))
    with pytest.raises(KeyboardInterrupt):
        fit(scripted(script, [BestEpoch(), CheckpointCallback(tmp_path, "x"), Die()]))
    again = BestEpoch()
    resumed = scripted(script, [again, CheckpointCallback(tmp_path, "x"), Callback()])
    assert restore_checkpoint(tmp_path, resumed, "x")
    assert resumed.epoch == 3
    fit(resumed)
    assert (again.epoch, again.top1) == (2, 70)
    assert all(torch.equal(again.model[name], value) for name, value in best.model.items())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The same run reporting the best and the last epoch, in folders of their own."""
    root = tmp_path_factory.mktemp("results")
    return root, {choice: perform(root / choice, report_epoch=choice) for choice in ("best_validation", "last")}


def test_what_is_reported_is_of_the_chosen_epoch(results):
    root, found = results
    best, last = found["best_validation"], found["last"]
    assert best.history == last.history  # choosing changes nothing in the training
    accuracies = [epoch.val_top1 for epoch in best.history]
    chosen = accuracies.index(max(accuracies)) + 1
    assert chosen < 3, "the test needs a run whose best epoch is not its last"
    assert (best.metrics.selection, best.metrics.epoch) == ("best_validation", chosen)
    assert (last.metrics.selection, last.metrics.epoch) == ("last", 3)
    for result in (best, last):
        epoch = result.history[result.metrics.epoch - 1]
        assert (result.metrics.top1, result.metrics.test_loss) == (epoch.test_top1, epoch.test_loss)
    model = build_model("base", "Lr")
    model.load_state_dict(torch.load(root / "best_validation" / "weights.pt", weights_only=True))
    banks = filter_banks(model, (3, 32, 32))
    assert [redundancy(bank) for bank in banks] == best.layers != last.layers


def test_an_interrupted_run_reports_the_same_bytes(results, tmp_path, monkeypatch):
    root, _ = results

    class Die(LogLines):
        def on_epoch_end(self, training):
            if training.epoch == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training_run, "LogLines", Die)
        with pytest.raises(KeyboardInterrupt):
            perform(tmp_path)
    assert (tmp_path / "checkpoint.pt").exists()
    perform(tmp_path)
    for name in ("weights.pt", "correlations.npz"):
        assert (tmp_path / name).read_bytes() == (root / "best_validation" / name).read_bytes()
    here, there = (json.loads((f / "result.json").read_text()) for f in (tmp_path, root / "best_validation"))
    for found in (here, there):
        del found["provenance"], found["digest"]
    assert here == there


def test_without_a_validation_part_nothing_changes(tmp_path):
    result = perform(tmp_path, validation=None, report_epoch="last", recipe={"overrides": [{"set": {"epochs": 1}}]})
    assert (result.history[0].val_loss, result.history[0].val_top1) == (None, None)


def test_the_log_shows_the_validation_accuracy(caplog):
    caplog.set_level(logging.INFO, "linconv")
    fit(scripted([7], [LogLines()]))
    assert "  val loss " in caplog.messages[0]
    assert "  top-1 70.00 %  test loss" in caplog.messages[0]


def test_a_diverged_run_reports_its_last_epoch(tmp_path):
    diverging = {"overrides": [{"set": {"epochs": 3, "learning_rate": 1e30}}]}
    result = perform(tmp_path, recipe=diverging)
    assert (result.status, result.metrics.top1) == ("diverged", None)
    assert (result.metrics.selection, result.metrics.epoch) == ("last", len(result.history))


def test_choosing_needs_a_validation_part():
    with pytest.raises(ConfigError, match=r"report_epoch: .best_validation. needs validation, such as \{share: 0\.1\}"):
        parse_config({**CONFIG, "validation": None})


def test_both_are_part_of_what_a_run_is():
    def run_hash(**changes):
        plain = {k: v for k, v in CONFIG.items() if k not in ("validation", "report_epoch")}
        return resolve_run(parse_config(plain | changes), KEY).hash

    choices = [{}, {"validation": {}}, {"validation": {"seed": 1}}, {"validation": {"share": 0.2}}]
    choices.append({"validation": {}, "report_epoch": "best_validation"})
    assert len({run_hash(**choice) for choice in choices}) == 5
    assert run_hash() == run_hash(report_epoch="last", validation=None)


def test_tables_say_which_epoch_they_report(tmp_path):
    (tmp_path / "val").mkdir()
    config = tmp_path / "val" / "config.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    perform(tmp_path / "val" / KEY.path)
    collect(load_config(config), tmp_path / "val", partial=True)
    assert read_result(tmp_path / "val" / KEY.path / "result.json", RunResult).metrics.selection == "best_validation"
    assert list(load_experiment(tmp_path / "val").runs["selection"]) == ["best_validation"]
    render_tables(tmp_path / "val")
    for name in ("table1.md", "runs.md"):
        text = (tmp_path / "val" / "tables" / name).read_text()
        assert "after the epoch with the best accuracy on a validation part (20 % of the training set)" in text
