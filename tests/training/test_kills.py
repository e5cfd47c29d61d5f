"""Killed with SIGKILL at the worst moments, one after the other, a run ends with the bytes of an uninterrupted one.

The moments here are exact; `benchmarks/kill_test.py` does the same at random ones.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_test.py"
# A server that has imported torch, and what torch imports later, forks every process: starting one takes no seconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["linconv.runner", "linconv.cli", "torch._inductor"])
# moment -> the epochs that the next process finds done
MOMENTS = {
    "in the batches of epoch 2": 1,
    "while the checkpoint of epoch 2 is written": 1,
    "between the two moves of the checkpoint of epoch 2": 1,
    "before the result is written": 3,
    "before it is known that the result is written": 3,
}


def kill_test() -> Any:
    spec = importlib.util.spec_from_file_location("kill_test", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def die_at(moment: str | None) -> None:
    """Have this process killed at a moment."""
    from linconv import runner
    from linconv.training import callbacks, checkpoint

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def step_end(self: Any, training: Any) -> None:
        if training.epoch == 1 and training.step % training.batches_per_epoch == 2:
            die()

    save = checkpoint.save_checkpoint

    def saving(folder: Path, training: Any, identity: str) -> None:
        if training.epoch == 2:
            if moment == "between the two moves of the checkpoint of epoch 2":
                move = Path.replace

                def replace(self: Path, target: Path) -> Path:
                    moved = move(self, target)
                    return moved if target.name != checkpoint.PREVIOUS else die() or moved

                Path.replace = replace  # type: ignore[method-assign, assignment]
            else:
                checkpoint.hashlib.file_digest = die  # type: ignore[attr-defined]
        save(folder, training, identity)

    if moment == "in the batches of epoch 2":
        callbacks.LogLines.on_step_end = step_end  # type: ignore[method-assign]
    elif moment == "before the result is written":
        runner.write_result = die  # type: ignore[assignment, attr-defined]
    elif moment == "before it is known that the result is written":
        write = runner.write_result  # type: ignore[attr-defined]
        runner.write_result = lambda *given: write(*given) or die()  # type: ignore[attr-defined]
    elif moment is not None:
        callbacks.save_checkpoint = saving  # type: ignore[attr-defined]


def run_linconv(arguments: list[str], moment: str | None) -> None:
    from linconv import cli
    from linconv.training import run

    load = run.load  # type: ignore[attr-defined]

    def small(*given: Any, **named: Any) -> Any:
        data = load(*given, **named)
        return dataclasses.replace(data, train_images=data.train_images[:70], train_labels=data.train_labels[:70])

    run.load = small  # type: ignore[attr-defined]
    die_at(moment)
    sys.argv = ["linconv", *arguments]
    cli.main()


def attempt(trial: Any, moment: str | None = None) -> int | None:
    arguments = [str(word) for word in trial._command[3:]]
    process = PROCESSES.Process(target=run_linconv, args=(arguments, moment))
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_killed_at_the_worst_moments_nothing_is_lost_but_the_epoch_in_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = kill_test()
    config = tmp_path / "kill.yaml"
    config.write_text(json.dumps(script.configuration(epochs=3, batch_size=20)), encoding="utf-8")
    reference, trial = (script.Trial(config, tmp_path / name) for name in ("reference", "killed"))
    assert attempt(reference) == 0
    expected = reference.outcome()
    assert expected.keys() == {"result.json", "correlations.npz", "outcomes.npz", "weights.pt"}

    done = 0
    for moment, finds in MOMENTS.items():
        assert attempt(trial, moment) == -signal.SIGKILL, moment
        assert (f"continuing after epoch {done} " in trial.text()) == (done > 0), moment
        done = finds
    files = {path.name for path in trial.folder.iterdir()}
    assert {"result.json", "checkpoint.pt", "checkpoint.previous.pt"} <= files
    assert attempt(trial) == 0
    assert "already there" in trial.text()
    script.compare(expected, trial.outcome())
    # as Snakemake deletes the outputs of a job that was killed after it had finished
    for name in ("result.json", "correlations.npz"):
        (trial.folder / name).unlink()
    assert attempt(trial) == 0
    assert "continuing after epoch 3 " in trial.text()
    assert trial.epochs() == []
    script.compare(expected, trial.outcome())


def test_the_comparison_finds_a_changed_byte_and_a_file_left_behind():
    script = kill_test()
    with pytest.raises(script.Mismatch, match=r"weights\.pt differs"):
        script.compare({"weights.pt": b"1"}, {"weights.pt": b"2"})
    with pytest.raises(script.Mismatch, match="not"):
        script.compare({"weights.pt": b"1"}, {"weights.pt": b"1", ".weights.pt.1.tmp": b""})
