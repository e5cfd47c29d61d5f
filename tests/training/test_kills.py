"""Killed while training, while saving a checkpoint and while writing the result, a run ends with the same bytes."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import random
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_test.py"
spec = importlib.util.spec_from_file_location("kill_test", SCRIPT)
assert spec is not None
assert spec.loader is not None
kill_test: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kill_test)

MOMENTS = ("batches", "checkpoint", "result")
# A server that has imported torch forks every process, so that starting one takes no seconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["linconv.runner", "linconv.cli"])


def run_linconv(arguments: list[str]) -> None:
    from linconv import cli

    sys.argv = ["linconv", *arguments]
    cli.main()


class Process:
    """What the script uses of `subprocess.Popen`, over a forked process."""

    def __init__(self, command: list[str]) -> None:
        self._process = PROCESSES.Process(target=run_linconv, args=([str(word) for word in command[3:]],))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def communicate(self) -> tuple[str, str]:
        self._process.join()
        return "", ""


class Trial(kill_test.Trial):
    launch = staticmethod(Process)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_three_kills_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = tmp_path / "kill.yaml"
    config.write_text(json.dumps(kill_test.configuration(epochs=2, batch_size=25)), encoding="utf-8")
    reference = Trial(config, tmp_path / "reference")
    assert reference.attempt(lambda _: False, 0) == "finished"
    expected = reference.outcome()
    assert {"result.json", "correlations.npz", "weights.pt"} == expected.keys()
    kills, _ = kill_test.kill_until(3, config, tmp_path, expected, random.Random(0), MOMENTS, Trial)
    assert kills == dict.fromkeys(MOMENTS, 1)


def test_the_comparison_finds_a_changed_byte():
    with pytest.raises(kill_test.Mismatch, match="weights.pt differs"):
        kill_test.compare({"weights.pt": b"1"}, {"weights.pt": b"2"})
    with pytest.raises(kill_test.Mismatch, match="not"):
        kill_test.compare({"weights.pt": b"1"}, {"weights.pt": b"1", ".weights.pt.1.tmp": b""})
