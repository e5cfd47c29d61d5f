"""One run in two processes: what one process would compute, and stopped, killed and continued as one is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor, nn

from linconv import LinearConv2d, correlation_penalty
from linconv.config import Config, Recipe, RunKey, parse_config, resolve_run
from linconv.config.errors import UserError
from linconv.data import BatchSource
from linconv.models import vgg
from linconv.results import Provenance, RunResult, read_result
from linconv.training.checkpoint import CURRENT, PREVIOUS
from linconv.training.distributed import Team, check_team, joined
from linconv.training.engine import Training, fit
from linconv.training.numerics import set_numerics
from linconv.training.run import prepare
from linconv.training.step import Term
from linconv.training.torch_files import read_torch
from tests.training.several import INFO, kill_test, together
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


def command(arguments: list[str], signals: dict[int, int]) -> None:
    """`linconv` as one of several; the processes in `signals` get one each in the second batch of the third epoch."""
    from linconv import cli
    from linconv.training.callbacks import LogLines

    rank = int(os.environ["RANK"])

    def on_step_end(self: LogLines, training: Training) -> None:
        if (training.epoch, training.step % training.batches_per_epoch) == (2, 2):
            os.kill(os.getpid(), signals[rank])

    if rank in signals:
        LogLines.on_step_end = on_step_end  # type: ignore[method-assign]
    sys.argv = ["linconv", *arguments]
    cli.main()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The configuration of a run, and the run as torchrun trained it."""
    root = tmp_path_factory.mktemp("several")
    config = kill_test().write_run(root, epochs=4)
    trial = kill_test().Trial(config, root / "reference")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run([*torchrun, "-m", "--", "linconv.cli", *trial.arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return config, trial


def test_the_result_says_that_two_processes_trained(reference):
    _, trial = reference
    result = read_result(trial.folder / "result.json", RunResult)
    assert result.provenance.processes == 2
    assert result.provenance.row()["hardware"].startswith("2 x ")
    assert trial.log.read_text().count("epoch 4/4") == 1
    assert result.outcomes is not None
    assert result.outcomes.top1 == result.metrics.top1
    assert (trial.folder / "outcomes.npz").exists()
    assert result.metrics.first_step is None
    assert result.metrics.macs_trained is not None
    for processes in (0, 1.5, 65_537):
        with pytest.raises(ValidationError, match="processes"):
            Provenance.model_validate(result.provenance.model_dump() | {"processes": processes})


def epoch_of(path: Path) -> int:
    return int(read_torch(path)["epoch"])


@pytest.mark.parametrize("signals", [{1: signal.SIGTERM}, {0: signal.SIGINT, 1: signal.SIGTERM}])
def test_stopped_by_a_signal_to_any_process_all_leave_and_the_same_command_goes_on(signals, reference, tmp_path):
    config, whole = reference
    trial = kill_test().Trial(config, tmp_path)
    assert together(tmp_path, command, trial.arguments, signals) == [75, 75]
    assert "interrupted after epoch 2/4; the same command continues it" in trial.log.read_text()
    assert epoch_of(trial.folder / CURRENT) == 2
    assert epoch_of(trial.folder / PREVIOUS) == 1  # each was written once
    assert not (trial.folder / ".lock").exists()
    assert together(tmp_path, command, trial.arguments, {}) == [0, 0]
    assert "continuing after epoch 2 " in trial.log.read_text()
    kill_test().compare(whole.outcome(), trial.outcome())


def said(folder: Path, trial: Any, rank: int) -> str:
    """The last line of a process; the first one has the log."""
    path = folder / f"{rank}.err" if rank else trial.log
    return str(path.read_text().splitlines()[-1])


@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_ends_the_other_and_the_same_command_goes_on(killed, reference, tmp_path):
    config, whole = reference
    trial = kill_test().Trial(config, tmp_path)
    codes = together(tmp_path, command, trial.arguments, {killed: signal.SIGKILL})
    assert codes[killed] == -signal.SIGKILL
    assert codes[1 - killed] == 1
    line = said(tmp_path, trial, 1 - killed)
    assert "another process of this run has ended or is out of reach" in line
    assert "the same command goes on after the last epoch saved" in line
    assert together(tmp_path, command, trial.arguments, {}) == [0, 0]
    assert "continuing after epoch 2 " in trial.log.read_text()
    kill_test().compare(whole.outcome(), trial.outcome())
    assert together(tmp_path, command, trial.arguments, {}) == [0, 0]
    assert "already there" in trial.log.read_text()


def test_one_process_goes_on_with_what_two_have_begun(reference, tmp_path):
    config, _ = reference
    trial = kill_test().Trial(config, tmp_path)
    assert together(tmp_path, command, trial.arguments, {1: signal.SIGTERM}) == [75, 75]
    trial.reported = 2
    assert trial.attempt(None) == 0
    assert "processes 2 -> 1" in trial.log.read_text()
    result = read_result(trial.folder / "result.json", RunResult)
    assert result.provenance.processes == 1
    assert [earlier.processes for earlier in result.provenance.earlier_processes or ()] == [2]


def test_a_rate_and_an_epoch_are_chosen_alike_in_two_processes(reference, tmp_path):
    config, _ = reference
    raw = json.loads(config.read_text()) | {"validation": {"share": 0.25}, "report_epoch": "best_validation"}
    raw["recipe"]["rate_search"] = {"factors": [0.01, 1], "share": 0.5}
    chooses = tmp_path / "chooses.json"
    chooses.write_text(json.dumps(raw))
    one, two = (kill_test().Trial(chooses, tmp_path / name) for name in ("one", "two"))
    assert one.attempt(None) == 0
    assert together(tmp_path, command, two.arguments, {}) == [0, 0]
    alone, both = (read_result(trial.folder / "result.json", RunResult) for trial in (one, two))
    assert both.rate_search is not None
    assert alone.rate_search is not None
    assert both.rate_search.chosen == alone.rate_search.chosen
    assert both.metrics.selection == "best_validation"
    assert [e.train_loss for e in both.history] == pytest.approx([e.train_loss for e in alone.history], abs=0.05)


def fail_in_the_first(arguments: list[str]) -> None:
    from linconv import runner

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "result.json")

    runner.write_result = full  # type: ignore[assignment, attr-defined]
    command(arguments, {})


def test_where_the_first_process_fails_all_end(reference, tmp_path):
    config, _ = reference
    trial = kill_test().Trial(config, tmp_path)
    assert together(tmp_path, fail_in_the_first, trial.arguments) == [1, 1]
    assert "No space left on device" in trial.log.read_text()
    assert "the first process of this run failed; its own message says why" in (tmp_path / "1.err").read_text()


def command_with_little_memory(arguments: list[str], images: int) -> None:
    """No module takes more images at once."""

    def check(module: nn.Module, given: tuple[Any, ...]) -> None:
        if given and isinstance(given[0], Tensor) and given[0].dim() == 4 and len(given[0]) > images:
            raise RuntimeError(f"{type(module).__name__} got {len(given[0])} images")

    nn.modules.module.register_module_forward_pre_hook(check)
    command(arguments, {})


def test_no_process_needs_memory_for_more_than_its_share(reference, tmp_path):
    config, _ = reference
    raw = json.loads(config.read_text()) | {
        "recipe": {"overrides": [{"set": {"epochs": 2, "batch_size": 8, "batch_norm": "recalibrated"}}]},
        "define": {"LSr": {"layer": "conv", "pruning": {"criterion": "betarank", "params": 0.5, "at": 0.5}}},
    }
    small = tmp_path / "small.json"
    small.write_text(json.dumps(raw))
    trial = kill_test().Trial(small, tmp_path)
    assert together(tmp_path, command_with_little_memory, trial.arguments, 4) == [0, 0]  # also 4 of 8 test images
    assert read_result(trial.folder / "result.json", RunResult).outcomes is not None


def command_by_rank(arguments: list[list[str]]) -> None:
    command(arguments[int(os.environ["RANK"])], {})


def test_processes_of_different_runs_and_other_commands_are_refused(reference, tmp_path):
    config, _ = reference
    other = tmp_path / "other.json"
    other.write_text(json.dumps(json.loads(config.read_text()) | {"report_epoch": "last", "augment": False}))
    trials = [kill_test().Trial(path, tmp_path) for path in (config, other)]
    assert together(tmp_path, command_by_rank, [trial.arguments for trial in trials]) == [2, 2]
    for rank in (0, 1):
        assert "the processes of this run differ in configuration" in said(tmp_path, trials[rank], rank)
    elsewhere = tmp_path / "elsewhere.json"  # one image of another color
    raw = json.loads(config.read_text())
    shutil.copytree(raw["data_root"], tmp_path / "data", ignore=shutil.ignore_patterns(".*"))
    Image.new("RGB", (32, 32), "red").save(tmp_path / "data" / "pets" / "train" / "bee" / "7.png")
    elsewhere.write_text(json.dumps(raw | {"data_root": str(tmp_path / "data")}))
    trials = [kill_test().Trial(path, tmp_path) for path in (config, elsewhere)]
    assert together(tmp_path, command_by_rank, [trial.arguments for trial in trials]) == [2, 2]
    for rank in (0, 1):
        assert "the processes of this run differ in data (digest): " in said(tmp_path, trials[rank], rank)
    assert together(tmp_path, command, ["plan", str(config)], {}) == [2, 2]
    assert "`linconv plan` works in one process, and 2 were started" in (tmp_path / "0.err").read_text()


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
