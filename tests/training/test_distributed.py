"""One run in two processes gives what one process would compute; what two cannot train is refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from linconv import LinearConv2d, correlation_penalty
from linconv.config import Config, Recipe, RunKey, parse_config, resolve_run
from linconv.config.errors import UserError
from linconv.data import BatchSource
from linconv.models import vgg
from linconv.training.distributed import Team, check_team, joined
from linconv.training.engine import Training, fit
from linconv.training.numerics import set_numerics
from linconv.training.run import prepare
from linconv.training.step import Term
from tests.training.several import INFO, together
from tests.training.short import few_images

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork, SIGTERM and SIGKILL")
EXACT = 1e-7


class Small(nn.Sequential):
    """What depends on the whole batch: batch normalization, dropout of values and of channels."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout2d(0.3),
            LinearConv2d(8, 12, 3, rank=2),
            nn.BatchNorm2d(12, momentum=0.3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(12, 3),
        )


def double(model: nn.Module) -> nn.Module:
    """The network in double precision, on the images as they come."""
    model.double().register_forward_pre_hook(to_double)
    return model


def to_double(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(x.double() for x in given)


def small(team: Team, recipe: dict[str, Any], train: int) -> Training:
    drawn = torch.Generator().manual_seed(3)
    images = torch.randint(256, (train + 7, 3, 8, 8), generator=drawn, dtype=torch.uint8)
    labels = torch.randint(3, (train + 7,), generator=drawn)
    torch.manual_seed(1)
    batches = BatchSource(images[:train], labels[:train], 7, INFO, augment=True, shuffle=True, seed=5)
    return Training(
        double(Small()),
        Recipe.model_validate({"optimizer": "sgd", "learning_rate": 0.1, "epochs": 3, "batch_size": 7} | recipe),
        batches,
        BatchSource(images[train:], labels[train:], 3, INFO),
        -(-train // 7),
        [Term(correlation_penalty, 0.5, 2)],
        team=team,
    )


def save(training: Training, path: Path) -> None:
    state = {name: value for name, value in training.model.state_dict().items() if value.dtype == torch.float64}
    history = [list(epoch.model_dump(exclude_none=True).values()) for epoch in training.history]
    drawn = torch.rand(1)
    torch.save((state, history, training.images, training.step, drawn), path)


def train_small(path: Path, recipe: dict[str, Any], train: int) -> None:
    set_numerics(1)
    with joined("cpu") as team:
        training = fit(small(team, recipe, train))
        save(training, path.with_name(f"{path.name}{os.environ.get('RANK', '')}"))


def compare(one: Path, *others: Path, but: tuple[str, ...] = ()) -> None:
    state, history, images, step, drawn = torch.load(one)
    for path in others:
        found = torch.load(path)
        assert found[0].keys() == state.keys()
        for name, value in state.items():
            if name not in but:
                assert float((found[0][name] - value).norm() / value.norm()) < EXACT, name
        assert torch.tensor(found[1]) == pytest.approx(torch.tensor(history), rel=1e-5)
        assert found[2:4] == (images, step)
        assert torch.equal(found[4], drawn)


@pytest.mark.parametrize(
    ("recipe", "train"),
    [
        ({"momentum": 0.9, "weight_decay": 0.01}, 29),  # the last batch has one image: a process has none
        ({"batch_norm": "recalibrated", "clip_grad_norm": 0.5}, 24),  # it has three
        ({"optimizer": "adam", "learning_rate": 0.01}, 21),  # all batches are whole, 7 images for two processes
    ],
)
def test_two_processes_compute_what_one_does(recipe, train, tmp_path):
    train_small(tmp_path / "one", recipe, train)
    assert together(tmp_path, train_small, tmp_path / "two", recipe, train) == [0, 0]
    # a bias before batch normalization has no effect but on the running mean, so its gradient is rounding
    compare(tmp_path / "one", tmp_path / "two0", tmp_path / "two1", but=("4.bias", "5.running_mean"))


def grid(definition: dict[str, Any], **changes: Any) -> Config:
    raw = {
        "experiment": "x",
        "datasets": ["synthetic"],
        "architectures": ["base"],
        "variants": ["X"],
        "seeds": [0],
        "define": {"X": definition},
        "recipe": {"overrides": [{"set": {"epochs": 3, "batch_size": 19}}]},
    }
    return parse_config(raw | changes)


def train_described(path: Path, definition: dict[str, Any]) -> None:
    set_numerics(1)
    run = resolve_run(grid(definition), RunKey("synthetic", "base", "X", 0))
    with pytest.MonkeyPatch.context() as patch, joined("cpu") as team:
        patch.setattr(vgg, "BASE", (8, "M", 12, "M", 16, "M"))
        training = prepare(run, few_images(), "cpu", team=team)
        training.replace_model(double(training.model))
        save(fit(training), path.with_name(f"{path.name}{os.environ.get('RANK', '')}"))


@pytest.mark.parametrize(
    "definition",
    [
        {"layer": "lowrank", "warm_start": 0.5},
        {"layer": "conv", "pruning": {"criterion": "l1", "params": 0.5, "at": 0.5}},
        {
            "layer": "linear",
            "options": {"sparsity": 0.5},
            "sparsity_schedule": {"period": 2},
            "regularizers": [{"name": "correlation", "weight": 0.1, "period": 3}],
        },
    ],
    ids=["warm start", "pruning", "sparse"],
)
def test_networks_that_change_in_training_change_alike_in_two_processes(definition, tmp_path):
    train_described(tmp_path / "one", definition)
    assert together(tmp_path, train_described, tmp_path / "two", definition) == [0, 0]
    compare(tmp_path / "one", tmp_path / "two0", tmp_path / "two1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compile": True}, "compile: true works in one process, and this run has 20; use compile: false"),
        ({"cuda_graph": True}, "cuda_graph: true works in one process, and this run has 20; use cuda_graph: false"),
        ({}, "a batch of 19 cannot be cut into shares for 20 processes; start fewer, or set a larger batch_size"),
    ],
)
def test_what_several_processes_cannot_train_is_refused_in_a_line(changes, message):
    config = grid({"layer": "linear"}, **changes)
    run = resolve_run(config, RunKey("synthetic", "base", "X", 0))
    check_team(run, config, 1)
    with pytest.raises(UserError, match=message):
        check_team(run, config, 20)
