"""One process at a time in a run's folder; what is finished there; when its checkpoint may go."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from linconv.config import RunKey, plan_runs, resolve_run
from linconv.config.parts import run_parts
from linconv.results import write_result
from linconv.results.arrays import write_npz
from linconv.results.code import code_hash
from linconv.results.collect import collect
from linconv.results.files import temporary_name
from linconv.results.kinds.run_record import RunResult
from linconv.results.outcomes import Outcomes, write_outcomes
from linconv.results.run_folder import InUseError, begin_anew, finished, locked, remove_spent_checkpoints, settle
from tests.results.factory import make_config, make_run, write_experiment

KEY = RunKey("digits", "base", "Lr", 0)
RUN = resolve_run(make_config(), KEY)


HOLD = """
import sys
from pathlib import Path
from linconv.results.run_folder import locked
with locked(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder until its standard input ends."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield process


def test_a_folder_is_locked_once_and_left_clean(tmp_path):
    folder = tmp_path / "new"
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(folder))
        with pytest.raises(InUseError, match="new: another process trains this run"):
            stack.enter_context(locked(folder, wait=False))
    assert list(folder.iterdir()) == []
    with locked(folder, wait=False):
        pass


def test_who_comes_second_waits_with_one_line(tmp_path, holder, caplog):
    caplog.set_level(logging.INFO)
    threading.Timer(0.7, holder.stdin.close).start()
    began = time.monotonic()
    with locked(tmp_path):
        waited = time.monotonic() - began
    assert waited > 0.5
    assert caplog.messages == [f"waiting for another process that trains this run ({tmp_path})"]
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    holder.kill()
    holder.wait(30)
    with locked(tmp_path, wait=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_signal_ends_the_wait(tmp_path, holder):
    class StoppedError(Exception):
        pass

    def stop(*_):
        raise StoppedError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(StoppedError), locked(tmp_path):
            pytest.fail("two have the folder")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]  # the other's


def test_many_threads_take_turns(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(5):
            with locked(tmp_path):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.002)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 20
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def whole(tmp_path):
    """The folder of a finished run."""
    run = make_run(make_config(), KEY, top1=90.0)
    record = write_outcomes(tmp_path, Outcomes(np.arange(10) > 0, np.zeros(10, np.float32)))
    code = code_hash("run", run_parts(RUN))
    write_result(tmp_path / "result.json", RunResult(**run.model_dump() | {"outcomes": record, "code_hash": code}))
    write_npz(tmp_path / "correlations.npz", {})
    return tmp_path


def test_a_finished_run_is_found(whole):
    assert finished(whole, RUN).metrics.top1 == 90


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "result.json").unlink(),
        lambda folder: (folder / "result.json").write_text("{"),
        lambda folder: (folder / "outcomes.npz").unlink(),
        lambda folder: (folder / "outcomes.npz").write_bytes(b"PK"),
        lambda folder: (folder / "correlations.npz").unlink(),
        lambda folder: write_result(folder / "result.json", make_run(make_config(), KEY)),  # by other code
    ],
)
def test_what_is_not_whole_is_not_finished(change, whole):
    change(whole)
    assert finished(whole, RUN) is None


def test_weights_belong_to_the_result_that_names_them(whole):
    (whole / "weights.pt").write_bytes(b"kept")
    assert finished(whole, RUN, weights=True) is None  # of an earlier training: this one kept none
    named = finished(whole, RUN).model_copy(update={"weights_sha256": hashlib.sha256(b"kept").hexdigest()})
    write_result(whole / "result.json", named)
    assert finished(whole, RUN, weights=True) == named
    (whole / "weights.pt").write_bytes(b"damaged")
    assert finished(whole, RUN, weights=True) is None
    (whole / "weights.pt").unlink()
    assert finished(whole, RUN, weights=True) is None
    assert finished(whole, RUN) == named


def test_a_result_that_is_put_aside_is_whole_once_it_has_its_name_back(whole):
    result = finished(whole, RUN)
    (whole / "checkpoint.pt").touch()
    begin_anew(whole)
    assert {path.name for path in whole.iterdir()} == {"result.previous.json", "outcomes.npz", "correlations.npz"}
    assert finished(whole, RUN) is None
    (whole / "checkpoint.pt").touch()
    begin_anew(whole)  # without a result it is the training that has begun
    assert (whole / "checkpoint.pt").exists()
    (whole / "result.previous.json").rename(whole / "result.json")
    assert finished(whole, RUN) == result


def test_a_run_of_another_configuration_is_not_finished(whole):
    assert finished(whole, resolve_run(make_config(augment=False), KEY)) is None


def test_collecting_removes_the_checkpoints_of_what_it_collects(tmp_path):
    config = make_config(variants=["conv", "L"], seeds=[0, 1])
    missing = RunKey("digits", "base", "L", 1)
    root = write_experiment(tmp_path, config, skip=[missing])
    for key in plan_runs(config):
        (root / key.path).mkdir(parents=True, exist_ok=True)
        for name in ("checkpoint.pt", "checkpoint.previous.pt", "checkpoint.pt.unusable"):
            (root / key.path / name).touch()
    collect(config, root, partial=True, data=tmp_path / "elsewhere")  # as a report does
    assert len(list(root.rglob("checkpoint*"))) == 12
    collect(config, root, partial=True)
    left = {key: {path.name for path in (root / key.path).glob("checkpoint*")} for key in plan_runs(config)}
    assert left.pop(missing) == {"checkpoint.pt", "checkpoint.previous.pt", "checkpoint.pt.unusable"}
    assert all(names == {"checkpoint.pt.unusable"} for names in left.values())


def test_a_checkpoint_in_use_stays(tmp_path, holder):
    (tmp_path / "checkpoint.pt").touch()
    remove_spent_checkpoints(tmp_path)
    assert (tmp_path / "checkpoint.pt").exists()
    holder.stdin.close()
    holder.wait(30)
    remove_spent_checkpoints(tmp_path)
    assert list(tmp_path.iterdir()) == []


LEFT = temporary_name("result.json", 2**31 - 1)  # no system has a process of that number


def test_what_a_killed_process_left_beside_its_result_goes(whole, holder):
    for name in ("checkpoint.pt", "checkpoint.previous.pt", "result.previous.json", LEFT):
        (whole / name).touch()
    settle(whole)
    assert (whole / LEFT).exists()  # the other process may be at work on it
    holder.kill()
    holder.wait(30)
    settle(whole)
    left = {path.name for path in whole.iterdir()}
    assert left == {"result.json", "outcomes.npz", "correlations.npz", "checkpoint.pt"}
