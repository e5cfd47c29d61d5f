"""A request to stop, at whatever line it comes: exit code 75, nothing moved, and the same bytes in the end."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from linconv import runner, stopping
from linconv.cli import runs
from linconv.results import arrays, files, run_folder
from linconv.training import checkpoint, run, torch_files
from linconv.training.callbacks import CheckpointCallback
from linconv.training.checkpoint import CURRENT, PREVIOUS, restore_checkpoint
from linconv.training.engine import fit
from tests.damage import Trainer, write_pets
from tests.lines import lines
from tests.training.test_checkpoint import training
from tests.training.test_damaged_checkpoints import outcome_of

PARTS = 10
READING = (checkpoint, torch_files)
EVERYWHERE = (runner, runs, arrays, files, run_folder, run, checkpoint)


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """A run's folder after two of three epochs."""
    folder = tmp_path / "run"
    folder.mkdir()
    fit(training(callbacks=[CheckpointCallback(folder, "mine")]))
    return folder


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT])
def number(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def damage_the_newest(folder: Path) -> None:
    (folder / CURRENT).write_bytes(b"damaged")


def give_the_newest_to_another(folder: Path) -> None:
    other = training(epochs=1, callbacks=[CheckpointCallback(folder, "mistake")])
    restore_checkpoint(folder, other, "mistake")
    fit(other)


@pytest.mark.parametrize(
    ("prepare", "moves"), [(lambda folder: None, False), (damage_the_newest, True), (give_the_newest_to_another, True)]
)
def test_at_every_line_of_reading_a_checkpoint_no_good_one_is_set_aside(prepare, moves, interrupted, number, tmp_path):
    prepare(interrupted)
    with lines(*READING, at=None, act=lambda: None) as counted:
        whole = tmp_path / "whole"
        shutil.copytree(interrupted, whole)
        expected = training(epochs=3)
        assert restore_checkpoint(whole, expected, "mine")
    assert counted.count > 60
    left = content(whole)
    for at in range(counted.count):
        folder = tmp_path / str(at)
        shutil.copytree(interrupted, folder)
        before = content(folder)
        with (
            stopping.listening(),
            lines(*READING, at=at, act=lambda: signal.raise_signal(number)) as reached,
            pytest.raises(stopping.StopRequested),
        ):
            restore_checkpoint(folder, training(epochs=3), "mine")
        after = content(folder)
        assert moves or after == before, reached.place
        assert sorted(after.values()) == sorted(before.values()), reached.place
        again = training(epochs=3)
        assert restore_checkpoint(folder, again, "mine"), reached.place
        assert (again.epoch, again.history) == (expected.epoch, expected.history), reached.place
        assert content(folder) == left, reached.place


def test_at_every_line_of_trying_a_folder_nothing_is_left_in_it(number, tmp_path):
    with lines(files, at=None, act=lambda: None) as counted:
        files.check_writable(tmp_path)
    assert counted.count > 20
    for at in range(counted.count):
        with (
            stopping.listening(),
            pytest.raises(stopping.StopRequested),
            lines(files, at=at, act=lambda: signal.raise_signal(number)) as reached,
        ):
            files.check_writable(tmp_path)
        assert not content(tmp_path), reached.place


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, bytes], int, Trainer]]:
    """Data, the files of a run that nothing interrupted, and the number of lines that it took."""
    root = tmp_path_factory.mktemp("signals")
    write_pets(root)
    with pytest.MonkeyPatch.context() as patch:
        from tests.training.test_damaged_checkpoints import _NoLog

        train = Trainer(root, _NoLog(), patch)  # type: ignore[arg-type]
        assert train("pets").code == 0  # what is computed once in a process takes lines of its own
        expected = outcome_of(train.folder("pets"))
        shutil.rmtree(train.folder("pets"))
        with lines(*EVERYWHERE, at=None, act=lambda: None) as counted:
            assert train("pets").code == 0
        yield root, expected, counted.count, train


@pytest.mark.parametrize("part", range(PARTS))
def test_at_whatever_line_of_a_training_the_exit_code_is_75_and_the_same_command_finishes_it(part, finished):
    """One line at random of each part of the lines; benchmarks/kill_test.py takes hundreds."""
    _, expected, count, train = finished
    number = (signal.SIGTERM, signal.SIGINT)[part % 2]
    at = random.randrange(part * count // PARTS, (part + 1) * count // PARTS)
    folder = train.folder("pets")
    shutil.rmtree(folder)
    with lines(*EVERYWHERE, at=at, act=lambda: signal.raise_signal(number)) as reached:
        assert train("pets").code == 75, reached.place
    assert not [path.name for path in folder.glob("*") if "unusable" in path.name or path.suffix == ".tmp"]
    assert train("pets").code == 0
    assert outcome_of(folder) == expected, reached.place


def test_a_signal_while_torch_reads_a_checkpoint_is_no_damage(interrupted, number, monkeypatch):
    """As found: the signal came within `torch.load`, and the good checkpoint was set aside."""
    load = torch.load

    def signalled(*given, **named):
        os.kill(os.getpid(), number)
        return load(*given, **named)

    monkeypatch.setattr(torch, "load", signalled)
    with stopping.listening(), pytest.raises(stopping.StopRequested):
        restore_checkpoint(interrupted, training(epochs=3), "mine")
    assert {path.name for path in interrupted.iterdir()} == {CURRENT, PREVIOUS}
