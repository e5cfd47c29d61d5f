"""The first step and the multiply-accumulates of a training."""

import pytest
import torch
from torch import nn

from linconv import complexity
from linconv.config import VARIANTS, Variant, parse_config, plan_runs, resolve_run
from linconv.measure.treatment import first_step, trained_macs
from linconv.models import build_model
from linconv.runner import perform_run
from linconv.training.engine import Callback, fit
from linconv.training.run import initial_network, prepare
from tests.training.short import few_images

SHAPE = (3, 32, 32)


def described(variant="LRr", **recipe):
    config = parse_config(
        {
            "experiment": "x",
            "datasets": ["synthetic"],
            "architectures": ["base"],
            "variants": [variant],
            "seeds": [3],
            "define": {
                "warm": {"layer": "lowrank", "options": {"rank": 0.25}, "warm_start": 0.4},
                "pruned": {"layer": "conv", "pruning": {"criterion": "l1", "params": 0.3}},
                "ghost": {"layer": "ghost", "skip_first": True},
                "weight": {"extends": "L", "options": {"mode": "weight"}},
            },
            "recipe": {"overrides": [{"set": {"epochs": 3, "batch_size": 20, **recipe}}]},
        }
    )
    return resolve_run(config, plan_runs(config)[0])


class FiltersAfter(Callback):
    """The filters before the first step and after it."""

    def on_train_start(self, training):
        self.before = self.filters(training)

    def on_step_end(self, training):
        if training.step == 1:
            self.after = self.filters(training)

    @staticmethod
    def filters(training):
        layers = [getattr(training.model.features, f"conv{i}") for i in (2, 3, 4)]
        return [layer.weight.detach().double().clone() for layer in layers]


@pytest.mark.parametrize("variant", ["conv", "LRr"])
@pytest.mark.parametrize("recipe", [{}, {"schedule": "cosine", "warmup_epochs": 1, "optimizer": "sgd"}])
def test_the_first_step_is_that_of_the_training(variant, recipe):
    run, data, seen = described(variant, **recipe), few_images(), FiltersAfter()
    training = prepare(run, data, "cpu", [seen])
    initial = initial_network(run, 10, 3)
    fit(training)
    changes = [(new - old).norm() / old.norm() for old, new in zip(seen.before, seen.after, strict=True)]
    state = torch.get_rng_state()
    before = {name: value.clone() for name, value in initial.state_dict().items()}
    assert first_step(run, training, initial, SHAPE) == pytest.approx(float(sum(changes) / 3), rel=1e-4)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in initial.state_dict().items())


def test_a_layer_that_equals_no_convolution_has_the_filters_that_it_learns():
    run, data = described("ghost"), few_images()
    training = prepare(run, data, "cpu")
    assert first_step(run, training, initial_network(run, 10, 3), SHAPE) > 0


def test_one_convolution_has_no_first_step_that_counts():
    run, data = described("conv"), few_images()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    assert first_step(run, prepare(run, data, "cpu"), model, SHAPE) is None


def per_image(variant, form="auto"):
    return getattr(complexity(build_model("base", variant), SHAPE, 20), f"macs_train_{form}")


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("conv", lambda: 3 * per_image(VARIANTS["conv"])),
        ("LRr", lambda: 3 * per_image(VARIANTS["LRr"])),
        ("weight", lambda: 3 * per_image(VARIANTS["L"], "weight")),
        # a third of the three epochs, rounded, trains the plain network
        (
            "warm",
            lambda: per_image(VARIANTS["conv"]) + 2 * per_image(Variant(layer="lowrank", options={"rank": 0.25})),
        ),
    ],
)
def test_the_steps_are_counted_as_each_network_took_them(variant, expected):
    run, data = described(variant), few_images()
    training = fit(prepare(run, data, "cpu"))
    assert trained_macs(training, initial_network(run, 10, 3), SHAPE) == 60 * expected()


def test_a_pruned_network_is_counted_before_and_after_the_pruning_step():
    run, data = described("pruned"), few_images()
    training = fit(prepare(run, data, "cpu"))
    plain, small = per_image(VARIANTS["conv"]), complexity(training.model, SHAPE, 20).macs_train_folded
    assert small < 0.6 * plain
    after = next(c.after for c in training.callbacks if hasattr(c, "after"))
    assert trained_macs(training, initial_network(run, 10, 3), SHAPE) == 60 * (after * plain + (3 - after) * small)


def test_every_result_has_both(tmp_path):
    config = parse_config(
        {
            "experiment": "x",
            "datasets": ["digits"],
            "architectures": ["base"],
            "variants": ["LRr"],
            "seeds": [0],
            "recipe": {"overrides": [{"set": {"epochs": 1}}]},
        }
    )
    run = resolve_run(config, plan_runs(config)[0])
    metrics = perform_run(run, config, tmp_path, "cpu", command="test").metrics
    assert 0.01 < metrics.first_step < 0.1
    assert (
        metrics.macs_trained
        == 1442 * complexity(build_model("base", "LRr", in_channels=1), (1, 32, 32), 50).macs_train_auto
    )
