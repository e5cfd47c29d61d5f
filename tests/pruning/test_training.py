"""Pruning inside a training: the epochs, the pruning step, the result, and continuing after an interruption."""

import copy
import functools
import itertools
import logging

import pytest
import torch

from linconv.catalogue.criteria import CRITERIA
from linconv.config import Pruning, RunKey, parse_config, resolve_run
from linconv.config.errors import UserError
from linconv.measure.complexity import complexity
from linconv.models import build_model, resnet, vgg
from linconv.pruning import pruned_network
from linconv.results import RunResult, read_result
from linconv.runner import perform_run
from linconv.training.callbacks import BestEpoch, CheckpointCallback
from linconv.training.checkpoint import restore_checkpoint
from linconv.training.engine import Callback, fit
from linconv.training.numerics import set_numerics
from linconv.training.pruning import PruningCallback
from linconv.training.run import prepare, train
from tests.training.short import Interrupt, bits, continued, few_images, params

EPOCHS = 4


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    """`base` with a few channels, so that an epoch takes no time."""
    set_numerics(1)
    monkeypatch.setattr(vgg, "BASE", (16, "M", 24, "M", 32, "M"))


@pytest.fixture(scope="module")
def data():
    return few_images()


def configuration(pruning, optimizer="adam", epochs=EPOCHS, **changes):
    raw = {
        "experiment": "x",
        "datasets": ["synthetic"],
        "architectures": ["base"],
        "variants": ["X"],
        "seeds": [0],
        "define": {"X": {"layer": "conv", "pruning": pruning}},
        "recipe": {
            "overrides": [
                {
                    "set": {
                        "epochs": epochs,
                        "batch_size": 20,
                        "optimizer": optimizer,
                        "momentum": 0.9 if optimizer == "sgd" else 0.0,
                    }
                }
            ]
        },
    }
    return parse_config(raw | changes)


def run_of(*arguments, **options):
    config = configuration(*arguments, **options)
    return resolve_run(config, RunKey("synthetic", "base", "X", 0))


class Widths(Callback):
    """The parameters that each epoch trained."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, training):
        self.seen.append(params(training.model))


@pytest.fixture(scope="module")
def uninterrupted(data):
    return functools.cache(lambda criterion: fit(prepare(run_of({"criterion": criterion}), data, "cpu")))


@pytest.mark.parametrize(
    ("criterion", "after"), [*itertools.product(CRITERIA, (1, 3)), ("l1", 2), ("betarank", 2), ("dcff", 4)]
)
def test_continued_at_any_epoch_it_ends_with_the_same_bits(criterion, after, data, uninterrupted, tmp_path):
    """Cut after epoch 2 (dcff: 4): continued before the pruning step, at it and after it."""
    continued(run_of({"criterion": criterion}), data, after, tmp_path, uninterrupted(criterion))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("criterion", ["l1", "betarank", "masksparsity"])
def test_the_cut_comes_in_its_epoch_and_leaves_the_budget(criterion, optimizer, data, caplog):
    caplog.set_level(logging.INFO, "linconv")
    widths = Widths()
    training = prepare(run_of({"criterion": criterion}, optimizer), data, "cpu", [widths])
    plain = params(training.model)
    fit(training)
    assert widths.seen[:2] == [plain, plain]
    assert widths.seen[2] == widths.seen[3] == params(training.model)
    assert params(training.model) / plain == pytest.approx(0.5, rel=0.02)
    assert f"cut after epoch 2, {params(training.model)} of {plain} parameters left" in caplog.text
    assert len(training.history) == EPOCHS


def test_dcff_trains_the_compact_network_and_the_last_epoch_s_accuracy_is_its_own(data):
    training = prepare(run_of({"criterion": "dcff"}), data, "cpu")
    plain = params(training.model)
    fit(training)
    assert params(training.model) / plain == pytest.approx(0.5, rel=0.02)
    x, y = next(training.test_batches(0))
    with torch.no_grad():
        top1 = 100 * (training.model.eval()(x).argmax(1) == y).double().mean()
    assert float(top1) == pytest.approx(training.history[-1].test_top1)


@pytest.mark.parametrize(("optimizer", "moment"), [("adam", "exp_avg_sq"), ("sgd", "momentum_buffer")])
def test_moments_of_the_channels_that_stay_are_carried_over(optimizer, moment, data):
    def moments(training):
        named = training.model.named_parameters()
        return {n: copy.deepcopy(training.optimizer.state[p]) for n, p in named if p in training.optimizer.state}

    class Watch(Callback):
        def on_epoch_end(self, training):
            if training.epoch == 2:
                self.before = moments(training)

        def on_epoch_start(self, training):
            if training.epoch == 2:  # after the pruning step, being the last callback
                self.after = moments(training)

    watch = Watch()
    training = prepare(run_of({"criterion": "l1"}, optimizer), data, "cpu")
    (pruning,) = training.callbacks
    training.callbacks = [pruning, watch]
    fit(training)
    first, second = (pruning.kept[[g.name for g in pruning.plan.groups].index(f"features.conv{i}")] for i in (1, 2))
    assert len(first) < 16
    name = "features.conv2.weight"
    assert torch.equal(watch.after[name][moment], watch.before[name][moment][second][:, first])
    assert watch.after[name].get("step") == watch.before[name].get("step")
    assert watch.after.keys() == watch.before.keys() == dict(training.model.named_parameters()).keys()


def test_a_network_kept_whole_trains_as_the_plain_one(data):
    whole = fit(prepare(run_of({"criterion": "l1", "params": 1.0}), data, "cpu"))
    plain = configuration({"criterion": "l1"}, variants=["conv"])
    expected = fit(prepare(resolve_run(plain, RunKey("synthetic", "base", "conv", 0)), data, "cpu"))
    assert whole.history == expected.history
    assert all(map(torch.equal, bits(whole), bits(expected)))


def test_the_best_epoch_is_one_after_the_cut(data):
    chosen = BestEpoch()
    training = prepare(run_of({"criterion": "l1"}), data, "cpu", [chosen])
    training.validation_batches = training.test_batches
    fit(training)
    assert chosen.epoch > 2
    training.model.load_state_dict(chosen.model)


def test_a_checkpoint_that_does_not_fit_leaves_the_network_whole(data, tmp_path, caplog):
    run = run_of({"criterion": "l1"})
    fit(prepare(run, data, "cpu", [CheckpointCallback(tmp_path, "x"), Interrupt(3)]))
    other = prepare(run, data, "cpu", [Callback(), Callback()])
    other.model.extra = torch.nn.Linear(1, 1)
    before = params(other.model)
    (tmp_path / "checkpoint.previous.pt").unlink()
    assert restore_checkpoint(tmp_path, other, "x") is None
    assert "extra" in caplog.text
    assert params(other.model) == before
    assert other.callbacks[-1].kept is None


def test_the_result_has_the_parameters_and_macs_of_what_is_left(data, tmp_path, monkeypatch):
    monkeypatch.setattr("linconv.training.run.load", lambda *_, **__: data)
    config = configuration({"criterion": "dcff", "params": 0.25}, keep_weights=True, epochs=2)
    run = resolve_run(config, RunKey("synthetic", "base", "X", 0))
    perform_run(run, config, tmp_path, "cpu", command="linconv train")
    found = read_result(tmp_path / "result.json", RunResult)
    weights = torch.load(tmp_path / "weights.pt", weights_only=True)
    plain = prepare(
        resolve_run(configuration({"criterion": "l1"}, variants=["conv"]), RunKey("synthetic", "base", "conv", 0)),
        data,
        "cpu",
    ).model
    assert found.metrics.params / params(plain) == pytest.approx(0.25, rel=0.02)
    trained = [v for k, v in weights.items() if "running" not in k and "num_batches" not in k]
    assert found.metrics.params == sum(v.numel() for v in trained)
    shape = tuple(data.train_images.shape[1:])
    assert 0 < found.metrics.macs < complexity(plain, shape).macs_folded / 2
    sizes = [weights[f"features.conv{i}.weight"].shape for i in (1, 2, 3)]
    side = shape[1]
    by_hand = sum(s.numel() * (side // 2**i) ** 2 for i, s in enumerate(sizes)) + weights["classifier.weight"].numel()
    assert found.metrics.macs == by_hand
    assert [layer.filters for layer in found.layers] == [s[0] for s in sizes]


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("architecture", ["base", "resnet18"])
def test_the_weights_that_are_kept_are_loaded_into_the_network_of_the_plan(
    criterion, architecture, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(resnet, "RESNET18", ((8, 1, 1), (12, 2, 2)))
    trained = []
    monkeypatch.setattr("linconv.training.run.load", lambda *_, **__: data)
    monkeypatch.setattr("linconv.runner.train", lambda *a, **k: trained.append(train(*a, **k)) or trained[0])
    config = configuration({"criterion": criterion}, architectures=[architecture], keep_weights=True)
    run = resolve_run(config, RunKey("synthetic", architecture, "X", 0))
    perform_run(run, config, tmp_path, "cpu", command="linconv train")

    x, _ = next(trained[0].test_batches(0))
    plain = build_model(architecture, num_classes=data.info.classes, in_channels=x.shape[1])
    model = pruned_network(plain, tuple(x.shape[1:]), run.definition.pruning.params)
    model.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    model.to(memory_format=torch.channels_last)  # as trained, for the same bits
    with torch.no_grad():
        assert torch.equal(model.eval()(x), trained[0].model.eval()(x))
    assert params(model) < 0.52 * params(plain)


@pytest.mark.parametrize("criterion", ["l1", "dcff"])
def test_a_run_that_diverged_before_the_cut_has_no_macs(criterion, data, tmp_path, monkeypatch):
    monkeypatch.setattr("linconv.training.run.load", lambda *_, **__: data)
    monkeypatch.setattr("linconv.training.step.F.cross_entropy", lambda logits, *_, **__: logits.sum() * torch.nan)
    config = configuration({"criterion": criterion})
    run = resolve_run(config, RunKey("synthetic", "base", "X", 0))
    result = perform_run(run, config, tmp_path, "cpu", command="linconv train")
    assert (result.status, result.metrics.epoch, result.metrics.macs) == ("diverged", 1, None)


def test_too_few_epochs_and_what_replays_steps_are_refused(data):
    with pytest.raises(UserError, match="the cut of pruning: 1 epoch leaves none after it"):
        prepare(run_of({"criterion": "l1"}, epochs=1), data, "cpu")
    fit(prepare(run_of({"criterion": "dcff"}, epochs=1), data, "cpu"))
    for option in ("compile", "cuda_graph"):
        with pytest.raises(UserError, match=r"'X': pruning changes.*use compile: false and cuda_graph: false"):
            prepare(run_of({"criterion": "l1"}), data, "cpu", **{option: True})


@pytest.mark.parametrize(("at", "epochs", "cut"), [(0.5, 8, 4), (0.01, 8, 1), (0.99, 8, 7), (0.5, 2, 1), (0.5, 5, 2)])
def test_there_is_an_epoch_before_the_cut_and_one_after(at, epochs, cut):
    model = vgg.base()
    callback = PruningCallback(model, (3, 32, 32), Pruning(criterion="l1", at=at), epochs)
    assert callback.after == cut
