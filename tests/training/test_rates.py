"""A run chooses its learning rate on its validation part, and on nothing else."""

import dataclasses
import json

import pytest
import torch
from pydantic import ValidationError

from linconv.config import ConfigError, RateSearch, Recipe, parse_config, plan_runs, resolve_run
from linconv.config.trials import trial_recipes
from linconv.data import hold_out, load
from linconv.results import RateChoice, RateTrial, RunResult
from linconv.runner import perform_run
from linconv.training import rates
from linconv.training import run as training_run
from linconv.training.callbacks import TrainingStoppedError
from linconv.training.engine import Callback, fit
from linconv.training.run import prepare, train
from tests.training.short import few_images

CONFIG = {
    "experiment": "x",
    "datasets": ["synthetic"],
    "architectures": ["base"],
    "variants": ["LRr"],
    "seeds": [0],
    "validation": {"share": 0.3},
    "device": "cpu",
    "recipe": {
        "rate_search": {"factors": [1e-4, 1, 1e12], "share": 0.5},
        "overrides": [
            {"set": {"epochs": 4, "batch_size": 20, "schedule": "cosine", "optimizer": "sgd", "learning_rate": 0.05}}
        ],
    },
}


def described(**changes):
    config = parse_config(CONFIG | changes)
    return config, resolve_run(config, plan_runs(config)[0])


@pytest.fixture
def small(monkeypatch):
    """Few images, of which some are held out, in the place of the data set."""
    config, run = described()
    data = hold_out(few_images(), run.validation)
    monkeypatch.setattr(training_run, "load_data", lambda *_: data)
    return config, run, data


class Log(Callback):
    """Stands in for the log of processes."""


def test_the_best_on_the_validation_part_is_taken_and_the_training_starts_anew_with_it(small, tmp_path):
    config, run, data = small
    training = train(run, config, tmp_path, "cpu", process_log=Log())
    choice = training.rate_search
    assert [trial.learning_rate for trial in choice.trials] == [0.05 * 1e-4, 0.05, 0.05 * 1e12]
    assert choice.trials[2].val_top1 is None  # it diverged
    assert choice.trials[1].val_top1 > choice.trials[0].val_top1
    assert (choice.epochs, choice.chosen) == (2, 0.05)
    alone = fit(prepare(run, data, "cpu"))
    assert training.history == alone.history
    assert all(map(torch.equal, training.model.state_dict().values(), alone.model.state_dict().values()))
    # a trial is the run with a shorter recipe: its validation accuracy is that of the same run
    short = run.recipe.model_copy(update={"epochs": 2})
    trial = fit(prepare(run.model_copy(update={"recipe": short}), data, "cpu")).history[-1]
    assert (choice.trials[1].val_top1, choice.trials[1].val_loss) == (trial.val_top1, trial.val_loss)


def test_test_images_decide_nothing(small, tmp_path, monkeypatch):
    config, run, data = small
    spoiled = dataclasses.replace(data, test_images=255 - data.test_images, test_labels=data.test_labels.flip(0))
    found = []
    for number, seen in enumerate((data, spoiled)):
        monkeypatch.setattr(training_run, "load_data", lambda *_, seen=seen: seen)
        found.append(train(run, config, tmp_path / str(number), "cpu", process_log=Log()))
    assert found[0].rate_search == found[1].rate_search
    assert found[0].history[-1].test_loss != found[1].history[-1].test_loss
    assert found[0].history[-1].train_loss == found[1].history[-1].train_loss


class StopsIn(Callback):
    """Stops the training that is the `number`-th to start."""

    def __init__(self, number):
        self.left = number

    def on_train_start(self, training):
        self.left -= 1

    def on_step_end(self, training):
        training.stop = training.stop or self.left == 0


def test_an_interrupted_search_goes_on_with_the_next_trial(small, tmp_path, monkeypatch):
    config, run, _ = small
    whole = train(run, config, tmp_path / "whole", "cpu", process_log=Log())
    with pytest.raises(TrainingStoppedError, match="while the learning rate was searched"):
        train(run, config, tmp_path / "cut", "cpu", callbacks=[StopsIn(2)], process_log=Log())
    tried, original = [], rates._tried
    monkeypatch.setattr(rates, "_tried", lambda *given: tried.append(given[-1].learning_rate) or original(*given))
    again = train(run, config, tmp_path / "cut", "cpu", callbacks=[StopsIn(9)], process_log=Log())
    assert tried == [0.05, 0.05 * 1e12]
    assert again.rate_search == whole.rate_search
    assert again.history == whole.history


def test_a_search_on_other_images_is_made_anew_and_waits_for_its_own(small, tmp_path, monkeypatch, caplog):
    config, run, data = small
    tried, original = [], rates._tried
    monkeypatch.setattr(rates, "_tried", lambda *given: tried.append(given[-1].learning_rate) or original(*given))
    with pytest.raises(TrainingStoppedError):
        train(run, config, tmp_path, "cpu", callbacks=[StopsIn(3)], process_log=Log())
    other = dataclasses.replace(data, train_labels=data.train_labels.flip(0), digest="0" * 16)
    monkeypatch.setattr(training_run, "load_data", lambda *_: other)
    with pytest.raises(TrainingStoppedError):
        train(run, config, tmp_path, "cpu", callbacks=[StopsIn(1)], process_log=Log())
    (message,) = (message for message in caplog.messages if "rates.json" in message)
    assert message.startswith("search rates.json belongs to configuration")
    assert f"data {data.digest}, not to" in message
    monkeypatch.setattr(training_run, "load_data", lambda *_: data)
    train(run, config, tmp_path, "cpu", process_log=Log())
    assert tried == [0.05 * 1e-4, 0.05, 0.05 * 1e12, 0.05 * 1e-4, 0.05 * 1e12]


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"identity": "x", "trials": 3}', '{"identity": "another", "trials": []}']
)
def test_trials_that_cannot_be_read_or_are_of_another_run_are_made_anew(tmp_path, damage):
    (tmp_path / "rates.json").write_text(damage)
    assert rates._finished(tmp_path, "x") == []


def test_the_result_holds_the_search_and_the_folder_no_more(tmp_path):
    values = {"datasets": ["digits"], "variants": ["conv"]}
    recipe = {"rate_search": {"factors": [1e-4, 1]}, "overrides": [{"set": {"epochs": 1}}]}
    config, run = described(**values, recipe=recipe)
    result = perform_run(run, config, tmp_path, "cpu", command="test")
    assert result.rate_search.chosen == 1e-3
    assert result.history[0].learning_rate == 1e-3
    assert RunResult.model_validate_json(result.model_dump_json()) == result
    plain = result.model_dump(mode="json")
    for wrong, message in (
        ({"rate_search": None}, "does not have the learning rates"),
        ({"rate_search": plain["rate_search"] | {"epochs": 2}}, "has 2 epochs, config asks for 1"),
        ({"rate_search": plain["rate_search"] | {"chosen": 1e-7}}, "of these trials 0.001 is the best"),
    ):
        with pytest.raises(ValidationError, match=message):
            RunResult.model_validate(plain | wrong)
    assert json.loads((tmp_path / "rates.json").read_text())["identity"].startswith("configuration")
    perform_run(run, config, tmp_path, "cpu", command="test", force=True)


def test_of_equal_accuracies_the_lower_loss_is_taken_and_all_may_diverge():
    def trial(rate, top1, loss):
        return RateTrial(learning_rate=rate, val_top1=top1, val_loss=loss)

    assert RateChoice.of([trial(1, 90, 0.4), trial(2, 90, 0.3), trial(3, 80, 0.1)], 2).chosen == 2
    assert RateChoice.of([trial(1, None, None), trial(2, 10, 2.3)], 2).chosen == 2
    assert RateChoice.of([trial(1, None, None), trial(2, None, None)], 2).chosen == 1


def test_trials_shorten_the_whole_recipe():
    recipe = Recipe(epochs=50, schedule="multistep", milestones=(20, 40), learning_rate=0.1, warmup_epochs=5)
    first, last = trial_recipes(recipe, (0.5, 2), RateSearch().share)
    assert (first.epochs, first.milestones, first.warmup_epochs, first.learning_rate) == (10, (4, 8), 1, 0.05)
    assert last.learning_rate == 0.2
    epochs = [
        trial_recipes(Recipe(epochs=count), (0.3, 1), RateSearch().share)[0].epochs for count in (1, 2, 3, 10, 30)
    ]
    assert epochs == [1, 2, 2, 2, 6]


def test_it_needs_a_validation_part_and_increasing_factors():
    with pytest.raises(ConfigError, match="rate_search: the rate is chosen on a validation part; add validation"):
        described(validation=None)
    with pytest.raises(ConfigError, match="factors must increase"):
        described(recipe={"rate_search": {"factors": [1, 0.3]}})


def test_it_is_part_of_what_a_run_is():
    hashes = {described(recipe=recipe)[1].hash for recipe in ({}, {"rate_search": {}}, {"rate_search": {"share": 0.5}})}
    assert len(hashes) == 3


def test_real_data_loses_its_test_part_in_a_trial(monkeypatch, tmp_path):
    config, run = described(datasets=["digits"], variants=["conv"])
    data = hold_out(load("digits", "data"), run.validation)
    seen = []
    monkeypatch.setattr(training_run, "_to_the_end", lambda training: seen.append(training.data) or fit(training))
    monkeypatch.setattr(training_run, "load_data", lambda *_: data)
    train(
        run.model_copy(update={"recipe": run.recipe.model_copy(update={"epochs": 1})}),
        config,
        tmp_path,
        "cpu",
        process_log=Log(),
    )
    *trials, last = seen
    assert len(trials) == 3
    for part in trials:
        assert torch.equal(part.test_images, data.validation_images)
        assert part.validation_images is None
        assert torch.equal(part.train_images, data.train_images)
    assert last is data
