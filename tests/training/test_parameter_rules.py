"""Parameters with a learning rate or a weight decay of their own, which their layers state."""

import pytest
import torch
from torch import nn

from linconv.config import Recipe, RunKey, Variant, parse_config, resolve_run
from linconv.layers import ConvReplacement, ParameterRule, convert
from linconv.training.engine import fit
from linconv.training.run import prepare
from linconv.training.step import EagerStep, make_optimizer
from tests.training.short import continued, few_images


class Ruled(ConvReplacement):
    """A plain convolution whose filters are halved after every step and learned three times as fast."""

    def build(self, factory):
        self.filters = factory.parameter(self.out_channels, *self.filter_shape)

    def reset_parameters(self):
        nn.init.ones_(self.filters)
        self.reset_bias()

    @property
    def weight(self):
        return self.filters

    @property
    def parameter_rules(self):
        return {"filters": ParameterRule(rate=3.0, decays=False)}

    def project_(self):
        with torch.no_grad():
            self.filters.mul_(0.5)


def by_rule(optimizer):
    return [(len(g["params"]), g["lr"], g["weight_decay"]) for g in optimizer.param_groups]


def test_parameters_are_grouped_by_their_rules():
    recipe = Recipe(optimizer="sgd", learning_rate=0.1, weight_decay=0.2)
    plain = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    assert by_rule(make_optimizer(plain, recipe)) == [(4, 0.1, 0.2)]
    layers = nn.Sequential(Ruled(2, 3, 3), Ruled(3, 3, 3), nn.BatchNorm2d(3))
    assert by_rule(make_optimizer(layers, recipe)) == [(4, 0.1, 0.2), (2, pytest.approx(0.3), 0)]
    layers[0].filters.requires_grad_(False)
    assert by_rule(make_optimizer(layers, recipe))[1][0] == 1
    alone = Ruled(2, 3, 3, bias=False)
    assert by_rule(make_optimizer(alone, recipe)) == [(0, 0.1, 0.2), (1, pytest.approx(0.3), 0)]
    shared = nn.ModuleList([layers, layers[1]])
    assert sum(size for size, *_ in by_rule(make_optimizer(shared, recipe))) == 5


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("on_device", [False, True])
def test_a_step_uses_the_rule_and_projects_after_it(optimizer, on_device):
    torch.manual_seed(0)
    model = nn.Sequential(Ruled(1, 2, 3, bias=False), nn.Flatten(), nn.Linear(2 * 9, 3))
    recipe = Recipe(optimizer=optimizer, learning_rate=0.1, weight_decay=0.2)
    by_hand = torch.nn.Parameter(model[0].filters.detach().clone())
    kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
    alone = kind([by_hand], 3 * 0.05)
    step = EagerStep(model, model, make_optimizer(model, recipe, fused=on_device), recipe)
    for _ in range(3):
        if on_device:
            step.copy_learning_rate(torch.tensor([0.05]))
        else:
            step.set_learning_rate(0.05)
        step(torch.randn(4, 1, 5, 5), torch.randint(3, (4,)))
        by_hand.grad = model[0].filters.grad.clone()
        alone.step()
        by_hand.data.mul_(0.5)
        torch.testing.assert_close(model[0].filters, by_hand)


def test_a_density_that_is_learned_does_not_decay():
    model = convert(nn.Sequential(nn.Conv2d(2, 4, 3)), Variant(layer="wconv", options={"learned": True}))
    groups = make_optimizer(model, Recipe(optimizer="sgd", weight_decay=0.1)).param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(2, 0.1), (1, 0)]
    fixed = convert(nn.Sequential(nn.Conv2d(2, 4, 3)), Variant(layer="wconv"))
    assert len(make_optimizer(fixed, Recipe()).param_groups) == 1


def run():
    raw = {"experiment": "x", "datasets": ["synthetic"], "architectures": ["base"], "variants": ["X"], "seeds": [0]}
    raw |= {"define": {"X": {"layer": "dcls", "skip_first": True}}}
    raw |= {"recipe": {"overrides": [{"set": {"epochs": 2, "batch_size": 20}}]}}
    return resolve_run(parse_config(raw), RunKey("synthetic", "base", "X", 0))


def test_continued_training_keeps_the_groups(tmp_path):
    continued(run(), few_images(), 1, tmp_path, fit(prepare(run(), few_images(), "cpu")))
