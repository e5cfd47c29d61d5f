"""The probe of single layers: what it measures, what it leaves alone, and the layers chosen from its numbers."""

import copy
import dataclasses
import json
import math

import pytest
import torch
import yaml
from typer.testing import CliRunner

from linconv.cli.commands import app
from linconv.config import ConfigError, Variant, parse_config
from linconv.config.errors import UserError
from linconv.data import load
from linconv.layers import convert, method_class
from linconv.measure import sensitivity
from linconv.measure.sensitivity import measure_sensitivity, train_alone
from linconv.models import vgg
from linconv.report.tables.sensitivity import sensitivities
from linconv.results import read_result, write_result
from linconv.results.kinds import KINDS
from linconv.results.kinds.sensitivity import LayerSensitivity, SensitivityResult, cheapest
from linconv.training.engine import evaluate
from tests.results.factory import measured_frame

LAYERS = [f"features.conv{i}" for i in (1, 2, 3)]
RAW = {
    "experiment": "x",
    "datasets": ["synthetic"],
    "architectures": ["base"],
    "variants": ["quarter"],
    "seeds": [3],
    "define": {
        "quarter": {"layer": "lowrank", "options": {"rank": 0.25}},
        "whole": {"layer": "lowrank", "options": {"rank": 1.0}},
        "late": {"layer": "lowrank", "options": {"rank": 0.25}, "exclude": ["features.conv1"]},
        "none": {"layer": "lowrank", "exclude": ["*"]},
    },
    "recipe": {"overrides": [{"set": {"epochs": 4, "batch_size": 20, "schedule": "multistep", "milestones": [2, 3]}}]},
    "validation": {"share": 0.25},
    "device": "cpu",
    "channels_last": False,
}


@pytest.fixture(autouse=True)
def data(monkeypatch):
    """`base` with a few channels on a few images; a test part that cannot even be asked for its length."""
    monkeypatch.setattr(vgg, "BASE", (8, "M", 12, "M", 16, "M"))
    whole = load("synthetic", "data")
    few = dataclasses.replace(
        whole,
        train_images=whole.train_images[:80],
        train_labels=whole.train_labels[:80],
        test_images=None,
        test_labels=None,
    )
    monkeypatch.setattr(sensitivity, "load", lambda *_, **__: few)
    return few


@pytest.fixture
def trained(monkeypatch):
    """The trainings of plain networks that the probe made."""
    seen = []
    original = sensitivity._trained
    monkeypatch.setattr(sensitivity, "_trained", lambda *a: seen.append(original(*a)) or seen[-1])
    return seen


def probe(variant="quarter", changes=None, **options):
    config = parse_config(RAW | {"sensitivity": {"variants": [variant], **options}} | (changes or {}))
    (key,) = KINDS["sensitivity"].plan(config)
    return measure_sensitivity(config, key, device="cpu", command="linconv")


def test_without_steps_it_is_the_loss_of_the_network_with_that_layer_replaced(trained):
    result = probe(steps=0)
    (training,) = trained
    assert [la.layer for la in result.layers] == LAYERS
    variant = Variant(layer="lowrank")
    for la in result.layers:
        model = copy.deepcopy(training.model)
        conv = model.get_submodule(la.layer)
        convert(model, variant, include=[la.layer], rank=0.25, init="svd")
        loss, _ = evaluate(model, training.test_batches(0))
        assert la.val_loss == pytest.approx(loss, rel=1e-5)
        assert la.val_loss_plain == result.val_loss
        assert la.params == sum(p.numel() for p in conv.parameters())
        assert la.params_saved == la.params - sum(p.numel() for p in model.get_submodule(la.layer).parameters())
    assert result.start == "svd"
    assert any(abs(la.increase) > 1e-3 for la in result.layers)


def test_an_exact_replacement_adds_no_loss_and_is_never_chosen_where_it_saves_nothing():
    result = probe("whole", steps=0)
    assert [la.increase for la in result.layers] == pytest.approx([0, 0, 0], abs=1e-5)
    assert all(la.params_saved < 0 for la in result.layers)
    assert result.exclude(1.0) == LAYERS


def test_the_probe_is_the_plain_run_of_seed_0_on_the_training_images_not_held_out(data, trained):
    result = probe(steps=0, epochs=2)
    (training,) = trained
    assert (result.config["seed"], result.config["variant"]) == (0, "conv")
    recipe = result.config["recipe"]
    assert (recipe["epochs"], recipe["milestones"]) == (2, [1, 2])
    assert training.epoch == 2
    seen = sum(len(y) for _, y in training.train_batches(0))
    held = sum(len(y) for _, y in training.test_batches(0))
    assert seen + held == 80
    assert held == pytest.approx(20, abs=3)


def test_the_same_numbers_again_and_whatever_other_layers_are_measured():
    both = probe(steps=2), probe(steps=2)
    assert both[0].layers == both[1].layers
    assert probe("late", steps=2).layers == both[0].layers[1:]


def test_steps_change_that_layer_alone(trained):
    result = probe(steps=0)
    (training,) = trained
    model = copy.deepcopy(training.model)
    train_alone(training, model, "features.conv2", 3)
    before = training.model.state_dict()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"features.conv2.weight", "features.conv2.bias"}
    stepped = probe(steps=3)
    assert all(la.val_loss_plain != result.val_loss for la in stepped.layers)  # the plain layer has the steps too


def test_a_method_that_cannot_start_from_filters_gets_new_ones(monkeypatch):
    fitted = probe(steps=0)
    monkeypatch.setattr(method_class("lowrank"), "fits", ())
    drawn = probe(steps=0)
    assert drawn.start is None
    assert [la.params_saved for la in drawn.layers] == [la.params_saved for la in fitted.layers]
    assert sum(la.increase for la in drawn.layers) > sum(la.increase for la in fitted.layers)


def test_what_cannot_be_measured_is_said(monkeypatch):
    with pytest.raises(UserError, match="variant 'none' replaces no convolution of base"):
        probe("none")
    with pytest.raises(ConfigError, match=r"sensitivity\.variants: the plain network is always measured too"):
        probe("conv")
    monkeypatch.setattr("linconv.training.step.F.cross_entropy", lambda logits, *_, **__: logits.sum() * torch.nan)
    with pytest.raises(UserError, match="diverged in epoch 1 of the probe; set a smaller learning_rate"):
        probe()


def layer(name, saved, increase):
    return LayerSensitivity(layer=name, params=1000, params_saved=saved, val_loss_plain=1.0, val_loss=1.0 + increase)


# increase per parameter: c -, a 1/1000, b 2/1000, d 5/1000
HAND_MADE = [
    layer("a", 100, 0.1),
    layer("b", 200, 0.4),
    layer("c", 50, -0.1),
    layer("d", 150, 0.75),
    layer("e", -10, -0.5),
    layer("f", 0, 0.0),
]


@pytest.mark.parametrize(
    ("share", "chosen"),
    [
        (0.01, "c"),  # free: in whatever the share
        (0.2, "ca"),
        (0.4, "cb"),  # 200 of 500 wanted: a comes first, and is not needed once b is in
        (0.6, "cab"),
        (1.0, "cabd"),  # never e and f, which save nothing
    ],
)
def test_layers_are_chosen_by_the_increase_per_parameter(share, chosen):
    assert {la.layer for la in cheapest(HAND_MADE, share)} == set(chosen)
    assert sum(la.params_saved for la in cheapest(HAND_MADE, share)) >= share * 500


def test_a_loss_that_is_not_finite_comes_last():
    lost = LayerSensitivity(layer="x", params=9, params_saved=500, val_loss_plain=1.0, val_loss=None)
    assert lost.increase == lost.increase_per_parameter == math.inf
    assert lost not in cheapest([lost, *HAND_MADE], 0.5)
    assert lost in cheapest([lost, *HAND_MADE], 1.0)


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=rf"must lie in \(0, 1\], not {share}"):
        cheapest(HAND_MADE, share)


def test_the_table_is_sorted_and_the_exclude_list_goes_into_a_variant(tmp_path):
    result = probe("late", steps=0)
    layers = [layer("features.conv2", 10, 0.5), layer("features.conv3", 90, 0.1)]
    result = result.model_copy(update={"layers": layers})
    write_result(tmp_path / "s.json", result)
    assert read_result(tmp_path / "s.json", SensitivityResult) == result
    rows = sensitivities(measured_frame("sensitivity", [result])).rows
    assert [(row[3], row[8].text, row[9].text) for row in rows] == [
        ("features.conv3", "+0.1000", "+1.11"),
        ("features.conv2", "+0.5000", "+50"),
    ]
    exclude = result.exclude(0.9)
    assert exclude == ["features.conv1", "features.conv2"]  # the variant's own first
    chosen = {"define": RAW["define"] | {"late": RAW["define"]["late"] | {"exclude": exclude}}}
    assert [la.layer for la in probe("late", steps=0, changes=chosen).layers] == ["features.conv3"]


def test_the_command_prints_the_table_and_writes_the_file(tmp_path):
    config, output = tmp_path / "x.yaml", tmp_path / "s.json"
    config.write_text(yaml.safe_dump(RAW))
    where = ["--config", config, "--dataset", "synthetic", "--architecture", "base", "--variant", "quarter"]
    command = ["measure", "sensitivity", *map(str, where)]
    done = CliRunner().invoke(app, [*command, "--steps", "1", "--keep", "0.5", "--output", str(output)])
    assert done.exit_code == 0, done.output
    result = read_result(output, SensitivityResult)
    assert all(name in done.output for name in LAYERS)
    assert yaml.safe_load(done.output.splitlines()[-1]) == {"exclude": result.exclude(0.5)}
    assert (result.kind, result.steps, json.loads(output.read_text())["schema_version"]) == ("sensitivity", 1, 2)
    for wrong, message in {
        ("--variant", "quater"): "did you mean 'quarter'",
        ("--architecture", "bas"): "did you mean 'base'",
        ("--dataset", "digit"): "did you mean 'digits'",
        ("--keep", "1.5"): r"--keep: a share of the saving in \(0, 1\] is expected, not 1.5",
    }.items():
        error = CliRunner().invoke(app, [*command, *wrong]).exception
        assert isinstance(error, ConfigError)
        with pytest.raises(ConfigError, match=message):
            raise error
