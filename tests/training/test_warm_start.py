"""A warm start in a training: the epochs, the switch, what is carried over, and continuing after an interruption."""

import copy
import functools
import logging

import pytest
import torch

from linconv.config import ConfigError, RunKey, Variant, parse_config, resolve_run
from linconv.config.errors import UserError
from linconv.layers import check_methods, method_class, replaced_layers
from linconv.measure.complexity import measure_complexity
from linconv.models import vgg
from linconv.results import RunResult, read_result
from linconv.runner import perform_run
from linconv.training.callbacks import BestEpoch, CheckpointCallback
from linconv.training.checkpoint import restore_checkpoint
from linconv.training.engine import Callback, fit
from linconv.training.numerics import set_numerics
from linconv.training.run import prepare
from tests.training.short import Interrupt, continued, few_images, params

EPOCHS = 4
LOWRANK = {"layer": "lowrank", "warm_start": 0.5}
CORRELATION = {"name": "correlation", "weight": 0.01, "period": 1}
DEFINITIONS = {
    "lowrank": LOWRANK,
    "linear": {"layer": "linear", "warm_start": 0.5, "regularizers": [CORRELATION]},
    "sparse": {"layer": "linear", "warm_start": 0.5, "options": {"sparsity": 0.5}, "sparsity_schedule": {"period": 2}},
}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    """`base` with a few channels, so that an epoch takes no time."""
    set_numerics(1)
    monkeypatch.setattr(vgg, "BASE", (8, "M", 12, "M", 16, "M"))


@pytest.fixture(scope="module")
def data():
    return few_images()


def configuration(definition, epochs=EPOCHS, **changes):
    raw = {
        "experiment": "x",
        "datasets": ["synthetic"],
        "architectures": ["base"],
        "variants": ["X"],
        "seeds": [0],
        "define": {"X": definition},
        "recipe": {"overrides": [{"set": {"epochs": epochs, "batch_size": 20}}]},
    }
    return parse_config(raw | changes)


def run_of(definition, **options):
    return resolve_run(configuration(definition, **options), RunKey("synthetic", "base", "X", 0))


def plain_run(**options):
    config = configuration(LOWRANK, variants=["conv"], **options)
    return resolve_run(config, RunKey("synthetic", "base", "conv", 0))


class Watch(Callback):
    """The network before and after the switch, with the optimizer's moments; the parameters that each epoch trained."""

    def __init__(self):
        self.seen, self.kept = [], {}

    def on_epoch_end(self, training):
        self.seen.append(params(training.model))
        if training.epoch == 2:
            self._keep(training, "before")

    def on_epoch_start(self, training):
        if training.epoch == 2:
            self._keep(training, "after")

    def _keep(self, training, when):
        state = training.optimizer.state
        moments = {n: copy.deepcopy(state[p]) for n, p in training.model.named_parameters() if p in state}
        self.kept[when] = (copy.deepcopy(training.model), moments)


def watched(definition, data, **options):
    """A finished training and what was seen at its switch."""
    watch = Watch()
    training = prepare(run_of(definition, **options), data, "cpu")
    training.callbacks = [*training.callbacks, watch]  # after the switch
    fit(training)
    return training, watch


@pytest.fixture(scope="module")
def uninterrupted(data):
    return functools.cache(lambda name: fit(prepare(run_of(DEFINITIONS[name]), data, "cpu")))


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("after", [1, 2, 3])
def test_continued_at_any_epoch_it_ends_with_the_same_bits(name, after, data, uninterrupted, tmp_path):
    """Switched after epoch 2: continued before the switch, at it and after it."""
    whole = uninterrupted(name)
    resumed = continued(run_of(DEFINITIONS[name]), data, after, tmp_path, whole)
    assert [c.state_dict() for c in resumed.callbacks[2:]] == [c.state_dict() for c in whole.callbacks]


def test_until_the_switch_it_is_the_plain_network_s_training_then_the_layer_s(data, caplog):
    caplog.set_level(logging.INFO, "linconv")
    training, watch = watched(DEFINITIONS["linear"], data)
    plain = fit(prepare(plain_run(), data, "cpu"))
    alike = {"train_loss", "train_top1", "test_loss", "test_top1"}
    for ours, theirs in zip(training.history[:2], plain.history[:2], strict=True):
        assert ours.model_dump(include=alike) == theirs.model_dump(include=alike)
    assert [epoch.penalty for epoch in training.history[:2]] == [0, 0]  # no layer has primaries yet
    assert all(epoch.penalty > 0 for epoch in training.history[2:])
    assert watch.seen[:2] == [params(plain.model)] * 2
    assert watch.seen[2:] == [params(training.model)] * 2
    assert replaced_layers(training.model) == [f"features.conv{i}" for i in (1, 2, 3)]
    before, after = params(plain.model), params(training.model)
    line = f"convolutions replaced after epoch 2 (least_squares), {after} of {before} parameters left"
    assert line in caplog.text


def test_the_layers_start_from_the_trained_filters(data):
    """At full rank the network computes what it did."""
    _, watch = watched(LOWRANK | {"options": {"rank": 1.0}}, data)
    before, after = (watch.kept[when][0].eval() for when in ("before", "after"))
    x = torch.randn(3, data.info.channels, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(after(x), before(x), rtol=1e-4, atol=1e-4)
    assert replaced_layers(after)
    assert not replaced_layers(before)
    layer, conv = after.features.conv2, before.features.conv2
    torch.testing.assert_close(layer.weight, conv.weight, rtol=1e-4, atol=1e-5)


def test_moments_of_what_stays_are_carried_over_and_new_parameters_have_none(data):
    _, watch = watched(LOWRANK, data)
    (model, before), (_, after) = watch.kept["before"], watch.kept["after"]
    replaced = {name for name, p in model.named_parameters() if p.dim() == 4}
    assert after.keys() == before.keys() - replaced
    assert {"classifier.weight", "features.bn1.weight"} <= after.keys()
    for name, moments in after.items():
        assert float(moments["step"]) == 6
        assert torch.equal(moments["exp_avg"], before[name]["exp_avg"])
        assert torch.equal(moments["exp_avg_sq"], before[name]["exp_avg_sq"])


@pytest.mark.parametrize(("share", "epochs", "after"), [(0.5, 8, 4), (0.01, 8, 1), (0.99, 8, 7), (0.3, 2, 1)])
def test_there_is_an_epoch_before_the_switch_and_one_after(share, epochs, after, data):
    training = prepare(run_of(LOWRANK | {"warm_start": share}, epochs=epochs), data, "cpu")
    assert training.callbacks[-1].after == after


def test_a_checkpoint_that_does_not_fit_leaves_the_plain_network(data, tmp_path, caplog):
    run = run_of(LOWRANK)
    fit(prepare(run, data, "cpu", [CheckpointCallback(tmp_path, "x"), Interrupt(3)]))
    (tmp_path / "checkpoint.previous.pt").unlink()
    other = prepare(run, data, "cpu", [Callback(), Callback()])
    other.model.extra = torch.nn.Linear(1, 1)
    assert restore_checkpoint(tmp_path, other, "x") is None
    assert "extra" in caplog.text
    assert not replaced_layers(other.model)
    assert other.callbacks[-1].choice is None


def test_the_best_epoch_is_one_after_the_switch(data):
    chosen = BestEpoch()
    training = prepare(run_of(LOWRANK), data, "cpu", [chosen])
    training.validation_batches = training.test_batches
    fit(training)
    assert chosen.epoch > 2
    training.model.load_state_dict(chosen.model)


def test_the_result_has_the_plain_filters_before_and_the_layers_parameters_after(data, tmp_path, monkeypatch):
    monkeypatch.setattr("linconv.training.run.load", lambda *_, **__: data)
    config = configuration(LOWRANK, epochs=2)
    run = resolve_run(config, RunKey("synthetic", "base", "X", 0))
    perform_run(run, config, tmp_path, "cpu", command="linconv train")
    found = read_result(tmp_path / "result.json", RunResult)
    assert found.config["definition"]["warm_start"] == 0.5
    assert [layer.effective_rank > 4 for layer in found.layers_before] == [True] * 3  # all filters are free
    grid = {"architectures": ("base",), "input_shape": (data.info.channels, 32, 32)}
    counted_grid = config.model_copy(update={"complexity": config.complexity.model_copy(update=grid)})
    (counted,) = (model for model in measure_complexity(counted_grid).models if model.variant == "X")
    assert found.metrics.params == counted.params
    assert [layer.effective_rank <= 0.5 * layer.filters for layer in found.layers] == [True] * 3


@pytest.mark.parametrize(
    ("definition", "changes", "expected"),
    [
        ({"layer": "conv", "warm_start": 0.5}, {}, "the plain convolution and takes no warm_start"),
        (LOWRANK | {"warm_start": 1}, {}, "define.X.warm_start: input should be less than 1 (got 1)"),
        (LOWRANK, {"compile": True}, "compile: true cannot train 'X', whose network warm_start changes; use false"),
        (LOWRANK, {"cuda_graph": True}, "cuda_graph: true cannot train 'X', whose network warm_start changes"),
    ],
)
def test_errors_of_a_configuration_name_the_key(definition, changes, expected):
    with pytest.raises(ConfigError) as error:
        configuration(definition, **changes)
    assert expected in str(error.value)


def test_what_cannot_start_warm_is_refused_before_anything_is_trained(data, monkeypatch):
    with pytest.raises(UserError, match="warm_start: 1 epoch leaves none after it; train for 2 or more"):
        prepare(run_of(LOWRANK, epochs=1), data, "cpu")
    for option in ("compile", "cuda_graph"):
        with pytest.raises(UserError, match=r"'X': warm_start changes.*use compile: false and cuda_graph: false"):
            prepare(run_of(LOWRANK), data, "cpu", **{option: True})
    with pytest.raises(UserError, match="variant 'X' replaces no convolution of base"):
        prepare(run_of(LOWRANK | {"exclude": ["features.*"]}), data, "cpu")
    drawn = Variant.model_validate({**DEFINITIONS["linear"], "options": {"init": "variance_preserving"}})
    with pytest.raises(UserError, match=r"options\.init 'variance_preserving' draws new filters"):
        check_methods({"X": drawn})
    monkeypatch.setattr(method_class("lowrank"), "fits", ())
    message = "X.*: warm_start: layer 'lowrank' cannot start from trained filters; leave warm_start out"
    with pytest.raises(UserError, match=message):
        check_methods({"X": Variant.model_validate(LOWRANK)})
    with pytest.raises(UserError, match=message):
        prepare(run_of(LOWRANK), data, "cpu")


def test_older_results_keep_their_hash():
    assert "warm_start" not in Variant(layer="lowrank").identity()
    assert run_of(LOWRANK).hash != run_of({"layer": "lowrank"}).hash
