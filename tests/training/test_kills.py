"""Killed at the worst moments and at random ones, a run ends with the bytes of an uninterrupted one.

The long version of the random ones is `benchmarks/kill_test.py`.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_test.py"
# moment -> the epochs that the next process finds done
MOMENTS = {
    "in the batches of epoch 2": 1,
    "while the checkpoint of epoch 2 is written": 1,
    "between the two moves of the checkpoint of epoch 2": 1,
    "before the result is written": 3,
    "before it is known that the result is written": 3,
}


def kill_test() -> Any:
    if str(SCRIPT.parent) not in sys.path:
        sys.path.append(str(SCRIPT.parent))  # its processes import it by its name
    return importlib.import_module(SCRIPT.stem)


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_between_the_moves() -> None:
    """After the old checkpoint has become the previous one."""
    from linconv.training.checkpoint import PREVIOUS

    move = Path.replace

    def replace(self: Path, target: Path) -> Path:
        moved = move(self, target)
        return moved if target.name != PREVIOUS else die() or moved

    Path.replace = replace  # type: ignore[method-assign, assignment]


def die_within_the_file() -> None:
    """After some of the parts of a checkpoint have been written."""
    from linconv.training import torch_files

    write, written = torch_files._Stream.write, []

    def write_some(self: Any, data: Any) -> int:
        written.append(data)
        return write(self, data) if len(written) < 20 else die() or 0

    torch_files._Stream.write = write_some  # type: ignore[method-assign]


def die_at(moment: str | None) -> None:
    """Have this process killed at a moment."""
    from linconv import runner
    from linconv.training import callbacks

    def step_end(self: Any, training: Any) -> None:
        if training.epoch == 1 and training.step % training.batches_per_epoch == 2:
            die()

    save, write = callbacks.save_checkpoint, runner.write_result

    def saving(folder: Path, training: Any, identity: str) -> None:
        if training.epoch == 2:
            die_between_the_moves() if moment and "two moves" in moment else die_within_the_file()
        save(folder, training, identity)

    if moment == "in the batches of epoch 2":
        callbacks.LogLines.on_step_end = step_end  # type: ignore[method-assign]
    elif moment == "before the result is written":
        runner.write_result = die  # type: ignore[assignment, attr-defined]
    elif moment == "before it is known that the result is written":
        runner.write_result = lambda *given: write(*given) or die()  # type: ignore[attr-defined]
    elif moment is not None:
        callbacks.save_checkpoint = saving  # type: ignore[attr-defined]


def run_linconv(arguments: list[str], moment: str | None) -> None:
    from linconv import cli

    die_at(moment)
    sys.argv = ["linconv", *arguments]
    cli.main()


def attempt(trial: Any, moment: str | None = None) -> int | None:
    """Train in a process of its own; the exit code."""
    trial.log.unlink(missing_ok=True)
    process = kill_test().PROCESSES.Process(target=run_linconv, args=(trial.arguments, moment))
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_killed_at_the_worst_moments_nothing_is_lost_but_the_epoch_in_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = kill_test()
    config = script.write_run(tmp_path, epochs=3)
    reference, trial = (script.Trial(config, tmp_path / name) for name in ("reference", "killed"))
    assert attempt(reference) == 0
    expected = reference.outcome()
    assert expected.keys() == {"result.json", "correlations.npz", "outcomes.npz", "weights.pt"}

    done = 0
    for moment, finds in MOMENTS.items():
        assert attempt(trial, moment) == -signal.SIGKILL, moment
        assert (f"continuing after epoch {done} " in trial.log.read_text()) == (done > 0), moment
        done = finds
    files = {path.name for path in trial.folder.iterdir()}
    assert {"result.json", "checkpoint.pt", "checkpoint.previous.pt"} <= files
    assert attempt(trial) == 0
    assert "already there" in trial.log.read_text()
    script.compare(expected, trial.outcome())
    # as Snakemake deletes the outputs of a job that was killed after it had finished
    for name in ("result.json", "correlations.npz"):
        (trial.folder / name).unlink()
    assert attempt(trial) == 0
    assert "continuing after epoch 3 " in trial.log.read_text()
    assert "epoch 1/3" not in trial.log.read_text()
    script.compare(expected, trial.outcome())


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_killed_and_stopped_at_random_moments_nothing_is_lost(capsys):
    code = kill_test().main(["--kills", "6", "--signals", "4", "--epochs", "3", "--fresh", "0"])
    assert code == 0, capsys.readouterr().out


def test_the_comparison_finds_a_changed_byte_and_a_file_left_behind():
    script = kill_test()
    with pytest.raises(script.Mismatch, match=r"weights\.pt differs"):
        script.compare({"weights.pt": b"1"}, {"weights.pt": b"2"})
    with pytest.raises(script.Mismatch, match="not"):
        script.compare({"weights.pt": b"1"}, {"weights.pt": b"1", ".weights.pt.0123abcd.linconv.tmp": b""})
