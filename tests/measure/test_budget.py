"""Plans meet their budgets by count, prefer what costs little, refuse what cannot be met, and leave models alone."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import linconv
from linconv.config import Variant
from linconv.config.errors import UserError
from linconv.measure import budget, latency
from linconv.measure.one_layer import LayerLoss, sensitivity


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=10)


def params(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("share", [0.9, 0.6, 0.35, 0.15])
def test_a_budget_of_parameters_is_met_by_count(resnet, share):
    before = copy.deepcopy(resnet.state_dict())
    plan = linconv.plan(resnet, (3, 64, 64), params=share)
    assert plan.reached <= share
    changed = linconv.convert(copy.deepcopy(resnet), "conv")
    for choice in plan.choices:  # drawn anew: least squares would take minutes here
        changed = linconv.convert(changed, choice.variant, include=[choice.layer])
    assert params(changed) / params(resnet) == pytest.approx(plan.reached)
    assert {c.layer for c in plan.choices} == set(linconv.layers.replaced_layers(changed))
    assert all(torch.equal(value, before[name]) for name, value in resnet.state_dict().items())
    smaller = plan.choices and min(c.params_before - c.params_after for c in plan.choices) / params(resnet)
    assert plan.reached + smaller > share or share == 0.15  # no layer is replaced in vain


def test_a_budget_of_macs_is_met_by_count(resnet):
    plan = linconv.plan(resnet, (3, 64, 64), macs=0.6)
    changed = copy.deepcopy(resnet)
    for choice in plan.choices:
        changed = linconv.convert(changed, choice.variant, include=[choice.layer])
    counted, plain = (linconv.complexity(m, (3, 64, 64)) for m in (changed, resnet))
    assert plan.plain == plain.macs_folded
    assert counted.macs_feature / plain.macs_folded == pytest.approx(plan.reached)
    assert plan.reached <= 0.6


def test_layers_that_were_replaced_before_count_in_a_budget_of_macs(trained):
    model = linconv.convert(copy.deepcopy(trained[0]), "L", include=["2"], init="paper")
    plan = linconv.plan(model, (3, 8, 8), macs=0.9, variants=(name for name in ["L"]))
    before, after = (linconv.complexity(m, (3, 8, 8)).macs_feature for m in (model, plan.apply(model)))
    assert after / before == pytest.approx(plan.reached)


def test_the_table_names_layers_methods_and_the_outcome(resnet):
    text = str(linconv.plan(resnet, (3, 64, 64), params=0.6))
    assert "layer4.1.conv2  linear(primary_ratio=0.5)" in text
    assert text.splitlines()[-1].endswith("of the parameters of the plain model; asked for 60.0%")
    plan = linconv.plan(resnet, (3, 64, 64), macs=0.6)
    heading, *lines, _ = str(plan).splitlines()
    assert heading.split("  ")[-1] == "MACs saved"  # no loss without data
    assert sum(float(line.split()[-1].rstrip("%")) for line in lines) == pytest.approx(100 * (1 - plan.reached), abs=1)


@pytest.fixture(scope="module")
def trained():
    """A small network that knows its data, and batches of it: channels tell the class, one layer at half the width."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    y = torch.arange(96) % 3
    x = torch.randn(96, 3, 8, 8) + 2 * F.one_hot(y, 3)[:, :, None, None]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model, list(zip(x.split(32), y.split(32), strict=True))


def test_sensitivity_is_the_loss_with_one_layer_replaced(trained):
    model, batches = trained
    found = linconv.sensitivity(model, F.cross_entropy, iter(batches), "LRr")
    assert {la.layer for la in found.layers} == {"0", "2", "4"}
    for la in found.layers:
        replaced = linconv.convert(copy.deepcopy(model), "LRr", include=[la.layer], init="least_squares")
        with torch.no_grad():
            expected = sum(float(F.cross_entropy(replaced(x), y)) for x, y in batches) / 3
        assert la.loss == pytest.approx(expected, rel=1e-4)
        assert la.loss_plain == found.loss
        assert la.params_saved == la.params - params(replaced.get_submodule(la.layer))
    ratios = [la.increase / la.params_saved for la in found.layers if la.params_saved > 0]
    assert ratios == sorted(ratios)
    assert str(found).splitlines()[-1] == f"the loss of the plain model is {found.loss:.4f}"


def test_sensitivity_of_nothing_is_refused(trained):
    model, batches = trained
    with pytest.raises(UserError, match="there is no batch to measure on"):
        sensitivity(model, F.cross_entropy, [])
    with pytest.raises(UserError, match="'linear' can replace no convolution of the model"):
        sensitivity(nn.Sequential(nn.Flatten(), nn.Linear(768, 3)), F.cross_entropy, batches)
    with pytest.raises(ValueError, match="unknown variant 'X'"):
        sensitivity(model, F.cross_entropy, batches, "X")
    assert LayerLoss("a", 1, 1, 1.0, float("nan")).increase == float("inf")


def test_with_data_a_plan_takes_the_layers_and_methods_that_cost_least(trained, monkeypatch):
    model, batches = trained
    made = {("0", 0): 9.0, ("2", 0): 0.5, ("4", 0): 0.1, ("0", 1): 8.0, ("2", 1): 0.2, ("4", 1): 5.0}

    def measured(model, variant, names, evaluate):
        number = int(variant.layer == "lowrank")
        return (LayerLoss(name, 1, 1, 1.0, 1.0 + made[name, number]) for name in names)

    monkeypatch.setattr(budget, "measure_layers", measured)
    variants = [Variant(layer="linear"), Variant.model_validate({"layer": "lowrank", "options": {"rank": 0.5}})]
    plan = linconv.plan(model, (3, 8, 8), params=0.6, loss=F.cross_entropy, batches=batches, variants=variants)
    assert [(c.layer, c.variant.layer, c.increase) for c in plan.choices] == [
        ("2", "lowrank", pytest.approx(0.2)),
        ("4", "linear", pytest.approx(0.1)),
    ]
    assert params(plan.apply(model)) / params(model) == pytest.approx(plan.reached)


def test_a_plan_with_data_for_real_keeps_the_loss_better_than_the_same_budget_elsewhere(trained):
    model, batches = trained
    plan = linconv.plan(model, (3, 8, 8), params=0.75, loss=F.cross_entropy, batches=batches)
    changed = plan.apply(model)
    assert params(changed) / params(model) == pytest.approx(plan.reached)
    assert plan.reached <= 0.75
    assert all(c.increase is not None for c in plan.choices)
    assert "+" in str(plan) or "-" in str(plan)
    with torch.no_grad():
        loss = sum(float(F.cross_entropy(changed(x), y)) for x, y in batches) / 3
    assert loss < 1.0  # chance is log 3


def test_the_latency_is_measured_and_the_target_follows_it(trained, monkeypatch):
    model, _ = trained
    seconds = {("0", None): 1.0, ("2", None): 4.0, ("4", None): 5.0, ("0", 0): 1.5, ("2", 0): 2.0, ("4", 0): 3.0}
    monkeypatch.setattr(budget, "layer_seconds", lambda *_: (seconds, 10.0))
    ratios = iter([0.85, 0.7])
    monkeypatch.setattr(budget, "ratio_to_plain", lambda *_: next(ratios))
    plan = linconv.plan(model, (3, 8, 8), latency=0.8, variants=["L"])
    assert [c.layer for c in plan.choices] == ["2", "4"]  # one layer took 0.85
    assert plan.reached == 0.7
    monkeypatch.setattr(budget, "ratio_to_plain", lambda *_: 0.81)
    with pytest.raises(UserError, match=r"latency=0\.8 is not met: the last plan takes 0\.81 of the plain time"):
        linconv.plan(model, (3, 8, 8), latency=0.8, variants=["L"])


def test_times_are_taken_of_every_layer_for_real(trained, monkeypatch):
    monkeypatch.setattr(latency, "BLOCK_SECONDS", 1e-4)
    model, _ = trained
    seconds, whole = latency.layer_seconds(model, [Variant(layer="linear")], [("0", 0), ("4", 0)], (3, 8, 8))
    assert seconds.keys() == {("0", None), ("0", 0), ("4", None), ("4", 0)}
    assert all(0 < value < 1 for value in (*seconds.values(), whole))
    assert 0.2 < latency.ratio_to_plain(model, copy.deepcopy(model), (3, 8, 8)) < 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give one budget, params=, macs= or latency=, not 0"),
        ({"params": 0.5, "macs": 0.5}, "give one budget, params=, macs= or latency=, not 2"),
        ({"params": 1.5}, r"params=1\.5: a share of the plain model in \(0, 1\) is expected"),
        ({"macs": 0}, r"macs=0: a share"),
        ({"params": True}, r"params=True: a share"),
        ({"params": "half"}, r"params='half': a share"),
        ({"params": 0.01}, r"params=0\.01 cannot be met: these variants reach 0\.\d+ of the plain model at least; "),
        ({"macs": 0.01}, r"macs=0\.01 cannot be met"),
        ({"params": 0.5, "loss": F.cross_entropy}, "give `loss` and `batches` together, or neither"),
        ({"params": 0.5, "variants": ["X"]}, "unknown variant 'X'"),
    ],
)
def test_impossible_budgets_are_refused_in_one_line(resnet, given, message):
    with pytest.raises(ValueError, match=message) as refused:
        linconv.plan(resnet, (3, 64, 64), **given)
    assert "\n" not in str(refused.value)


def test_a_model_without_convolutions_is_refused():
    with pytest.raises(UserError, match=r"the model calls no nn\.Conv2d that can be replaced with a saving$"):
        linconv.plan(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), (3, 2, 2), params=0.5)


@pytest.mark.parametrize(("share", "least"), [(0.95, 0.93), (0.9, 0.88), (0.75, 0.73), (0.6, 0.58)])
def test_a_plan_overshoots_little(resnet, share, least):
    assert least <= linconv.plan(resnet, (3, 64, 64), params=share).reached <= share


def test_a_plan_of_few_layers_takes_milder_ratios_where_they_suffice():
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.Conv2d(32, 32, 3),
        nn.Conv2d(32, 32, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )
    plan = linconv.plan(model, (3, 16, 16), params=0.75)
    assert 0.66 < plan.reached <= 0.75
    assert params(plan.apply(model)) / params(model) == pytest.approx(plan.reached)


class Doubling(nn.Conv2d):
    def forward(self, x):
        return super().forward(2 * x)


def awkward():
    """A model of which `convert` replaces convolutions 1 and 7 only."""
    model = nn.Sequential(
        Doubling(3, 16, 3),
        nn.Conv2d(16, 16, 3),
        nn.Conv2d(16, 16, 3),
        nn.Conv2d(16, 16, 3),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(16, 16, 3)),
        nn.Conv2d(16, 16, 3),
        nn.Conv2d(16, 1, 1),
        nn.Conv2d(1, 16, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    model[3].weight = model[2].weight
    model[5].register_forward_hook(lambda *_: None)
    return model


def test_what_convert_refuses_is_left_out_of_plans_and_sensitivities_and_named():
    model, batches = awkward(), [(torch.randn(2, 3, 24, 24), torch.tensor([0, 1]))]
    reasons = {
        "0": "it is a Doubling",
        "2": "it shares its parameters",
        "3": "it shares its parameters",
        "4": "its weight is parametrized",
        "5": "it has hooks",
        "6": "leaves no primary filter",
    }
    plan = linconv.plan(model, (3, 24, 24), params=0.8)
    assert [c.layer for c in plan.choices] == ["1"]
    assert set(linconv.layers.replaced_layers(plan.apply(model))) == {"1"}
    found = linconv.sensitivity(model, F.cross_entropy, batches, "LRr")
    assert {la.layer for la in found.layers} == {"1", "7"}
    for left_out, text in ((plan.left_out, str(plan)), (found.left_out, str(found))):
        assert left_out.keys() == reasons.keys()
        assert all(reason in left_out[name] and reason in text for name, reason in reasons.items())
    with pytest.raises(UserError, match=r"replaced with a saving; 2 left plain \(2, …\): it shares its par"):
        linconv.plan(model[2:4], (16, 8, 8), params=0.8)
    with pytest.raises(UserError, match=r"no convolution of the model; 1 left plain \(5\): it has hooks"):
        linconv.sensitivity(model[5:6], F.cross_entropy, batches)


def test_a_variants_own_choice_of_layers_holds_in_a_plan(trained):
    model, batches = trained
    variant = Variant(layer="linear", skip_first=True, exclude=("4",))
    plan = linconv.plan(model, (3, 8, 8), params=0.8, variants=[variant])
    assert [c.layer for c in plan.choices] == ["2"]
    assert params(plan.apply(model)) / params(model) == pytest.approx(plan.reached)
    assert [la.layer for la in linconv.sensitivity(model, F.cross_entropy, batches, variant).layers] == ["2"]


@pytest.mark.parametrize("name", ["tucker", "lowrank", "LRr"])
def test_plans_and_sensitivities_take_the_names_that_convert_takes(trained, caplog, name):
    model, batches = trained
    plan = linconv.plan(model, (3, 8, 8), params=0.9, variants=[name])
    assert params(plan.apply(model)) / params(model) == pytest.approx(plan.reached)
    assert linconv.sensitivity(model, F.cross_entropy, batches, name).layers
    assert not caplog.records  # nothing of the many conversions that are tried


@pytest.mark.parametrize("given", ["LRr", Variant(layer="linear"), [1], 3])
def test_several_variants_are_no_string(trained, given):
    with pytest.raises(TypeError, match=r"variants: a list of variants is expected, such as \['L'\], not "):
        linconv.plan(trained[0], (3, 8, 8), params=0.9, variants=given)
    with pytest.raises(ValueError, match="'conv' is the plain convolution, which replaces nothing"):
        linconv.sensitivity(trained[0], F.cross_entropy, [(None, None)], "conv")


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.body(x)


@pytest.mark.parametrize("tool", ["sensitivity", "plan"])
def test_measured_models_and_the_random_numbers_are_left_as_they_are(tool):
    model, data = Counting(), [(torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))]
    state = torch.random.get_rng_state()
    if tool == "plan":
        linconv.plan(model, (3, 8, 8), params=0.9, loss=F.cross_entropy, batches=data, variants=["lowrank"])
    else:
        sensitivity(model, F.cross_entropy, data)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.calls == 0


@pytest.mark.parametrize("cost", ["params", "macs", "latency"])
def test_layers_that_share_parameters_are_refused(trained, cost):
    with pytest.raises(UserError, match=r"plan: the layers of 'warehouse' share parameters, so none .* leave it out"):
        linconv.plan(trained[0], (3, 8, 8), **{cost: 0.8}, variants=["L", "warehouse"])


def test_a_latency_is_named_as_it_was_asked_for(trained, monkeypatch):
    seconds = {("0", None): 1.0, ("2", None): 4.0, ("4", None): 5.0, ("0", 0): 0.9, ("2", 0): 3.8, ("4", 0): 4.8}
    monkeypatch.setattr(budget, "layer_seconds", lambda *_: (seconds, 10.0))
    monkeypatch.setattr(budget, "ratio_to_plain", lambda *_: 1.2)
    with pytest.raises(UserError, match=r"plan: latency=0\.98 is not met: the last plan takes 1\.20 of the plain time"):
        linconv.plan(trained[0], (3, 8, 8), latency=0.98, variants=["L"])
