"""`benchmarks/fault_test.py` in short: a failing call of the system is one line, and costs nothing."""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from linconv.config.errors import explain_os_error
from linconv.results.files import atomic_path, check_writable
from linconv.training.torch_files import read_torch, write_torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "fault_test.py"


def fault_test() -> Any:
    if str(SCRIPT.parent) not in sys.path:
        sys.path.append(str(SCRIPT.parent))  # its processes import it by its name
    return importlib.import_module(SCRIPT.stem)


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="needs Linux and a C compiler")
def test_failing_calls_of_the_system_are_one_line_and_cost_nothing() -> None:
    # a process of its own: another test may have started the server that processes are forked from, without the library
    done = subprocess.run([sys.executable, SCRIPT, "--faults", "5"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 faults: 0 went wrong" in done.stdout


def test_the_test_finds_a_traceback_and_a_command_that_says_nothing() -> None:
    script = fault_test()
    assert script.problems(script.Ended(1, "Traceback ...", 1, "")) != []
    assert script.problems(script.Ended(1, "", 1, "")) != []
    assert script.problems(script.Ended(1, "error: x: full", 1, "")) != []
    assert script.problems(script.Ended(-9, "error: x: full; make room", 1, "")) != []
    assert script.problems(script.Ended(1, "12:00:00 error: x: full; make room", 1, "")) == []
    assert script.problems(script.Ended(0, "", 1, "")) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.ESTALE, errno.EROFS, errno.EXDEV])
def test_path_reason_and_remedy(number: int) -> None:
    line = explain_os_error(OSError(number, os.strerror(number), "results/x"))
    path, reason, remedy = line.replace("; ", ": ", 1).split(": ", 2)
    assert (path, reason) == ("results/x", os.strerror(number))
    assert remedy


def test_an_error_without_a_path_gets_that_of_the_file(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_path(tmp_path / "x"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as error:
        fill()
    assert error.value.filename == str(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_torch_says_that_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_torch(tmp_path / "x", {"a": 1}, checksum=True)
    open_file = Path.open
    full = lambda self, *given, **named: open_file(Path("/dev/full"), *given, **named)  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(OSError, match="No space left on device") as error:
            write_torch(tmp_path / "x", {"a": 2}, checksum=True)
    assert error.value.filename == str(tmp_path / "x")
    assert read_torch(tmp_path / "x") == {"a": 1}


def test_what_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    check_writable(tmp_path, ("result.json",))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "result.json").mkdir()
    with pytest.raises(IsADirectoryError):
        check_writable(tmp_path, ("result.json",))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        check_writable(tmp_path / "file")
