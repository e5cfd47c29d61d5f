"""The commands as several processes: results, signals, killed processes, what is refused."""

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
from PIL import Image
from pydantic import ValidationError
from torch import Tensor, nn

from linconv.results import Provenance, RunResult, read_result
from linconv.training.checkpoint import CURRENT, PREVIOUS
from linconv.training.engine import Training
from linconv.training.torch_files import read_torch
from tests.training.several import kill_test, together

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork, SIGTERM and SIGKILL")


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
