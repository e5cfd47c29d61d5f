"""Recipes: the presets, and what of a schedule is never reached."""

import pytest

from linconv.catalogue.networks import NETWORKS
from linconv.config import parse_config
from linconv.config.recipes import PRESETS, Recipe
from linconv.training.schedules import learning_rate
from tests.config.configurations import raw


def test_the_paper_preset_is_the_papers_protocol_and_scales():
    preset = {name: recipe for name, recipe in PRESETS["paper"].items() if NETWORKS[name].in_paper}
    assert {(r.optimizer, r.weight_decay) for r in preset.values()} == {("adam", 0.0)}
    assert {a: r.learning_rate for a, r in preset.items() if a != "squeezenet"} == {
        "base": 1e-3,
        "vgg11": 1e-3,
        "allconv": 1e-4,
        "resnet18": 0.1,
        "resnext29": 1e-3,
        "mobilenetv2": 1e-3,
    }
    assert {a: r.epochs for a, r in preset.items() if r.epochs != 250} == {"allconv": 350}
    assert {a: r.batch_size for a, r in preset.items() if r.batch_size != 50} == {"resnext29": 32, "mobilenetv2": 32}
    stepped = {a: (r.schedule, r.milestones, r.gamma) for a, r in preset.items() if r.schedule != "constant"}
    assert stepped == dict.fromkeys(("resnet18", "resnext29", "mobilenetv2"), ("multistep", (75, 150, 200), 0.1))
    config = parse_config(raw(architectures=["resnet18"], recipe={"preset": "paper", "epochs_factor": 0.1}))
    recipe = config.recipe.resolve("resnet18", "digits")
    assert (recipe.epochs, recipe.milestones, recipe.learning_rate) == (25, (8, 15, 20), 0.1)


def test_the_modern_preset_is_the_usual_cifar_recipe_for_every_network():
    usual = {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
        "epochs": 200,
        "batch_size": 128,
        "schedule": "cosine",
        "warmup_epochs": 5,
    }
    for architecture in PRESETS["paper"]:
        recipe = parse_config(raw(recipe={"preset": "modern"})).recipe.resolve(architecture, "digits")
        assert recipe == Recipe(**usual)
    short = parse_config(raw(recipe={"preset": "modern", "epochs_factor": 0.1})).recipe.resolve("resnet18", "digits")
    assert (short.epochs, short.warmup_epochs) == (20, 0)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"schedule": "multistep", "milestones": (75, 150), "epochs": 100}, ("milestones 150 lie beyond",)),
        ({"schedule": "multistep", "milestones": (75, 150), "epochs": 151}, ()),
        ({"schedule": "constant", "milestones": (75,), "epochs": 20}, ()),
        ({"schedule": "cosine", "warmup_epochs": 5, "epochs": 5}, ("warmup_epochs 5 leave nothing of 5",)),
        ({"schedule": "cosine", "warmup_epochs": 5, "epochs": 6}, ()),
    ],
)
def test_what_of_a_schedule_is_never_reached_is_said(recipe, words):
    found = Recipe(**recipe).unreached
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


@pytest.mark.parametrize("architecture", NETWORKS)
def test_the_short_preset_is_the_papers_annealed_to_zero_within_thirty_epochs(architecture):
    def recipe(**choice):
        return parse_config(raw(recipe=choice)).recipe.resolve(architecture, "digits")

    short, paper = recipe(preset="short"), recipe(preset="paper")
    assert (short.epochs, short.schedule, short.milestones) == (30, "cosine", ())
    changed = {"epochs", "schedule", "milestones"}
    assert short.model_dump(exclude=changed) == paper.model_dump(exclude=changed)
    for fewer in (
        recipe(preset="short", epochs_factor=0.1),
        recipe(preset="short", overrides=[{"set": {"epochs": 3}}]),
    ):
        assert fewer.epochs == 3
        assert learning_rate(fewer, 0, 0, 100) == paper.learning_rate
        assert learning_rate(fewer, 2, 99, 100) < 1e-4 * paper.learning_rate
