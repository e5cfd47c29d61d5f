"""Temporary files: what a killed writer leaves is removed by the next writer, what a living one writes is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from linconv.report import render_claims, render_tables
from linconv.results import files
from linconv.results.arrays import write_npz
from linconv.results.collect import collect
from linconv.results.files import ENDING, atomic_path, remove_leftovers, temporary_folder, temporary_name, write_text
from linconv.results.tidy import write_csv
from tests.results.factory import make_config, write_experiment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and the processes of POSIX")

WRITE = """
import sys
from contextlib import ExitStack
from pathlib import Path
from linconv.results.files import atomic_path, temporary_folder
root = Path(sys.argv[1])
with ExitStack() as stack:
    for name in sys.argv[2:]:
        stack.enter_context(atomic_path(root / name)).write_text("half of i")
    (stack.enter_context(temporary_folder(root / "merged")) / "config.yaml").write_text("half of i")
    print("ready", flush=True)
    sys.stdin.read()
"""


ENDED = 2**31 - 1  # no system has a process of that number


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is about to replace three files and to make a folder."""
    command = [sys.executable, "-c", WRITE, str(tmp_path), "a.csv", "data/b.npz", "tables/c.md"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def leftovers(root: Path) -> list[str]:
    return sorted(path.name.split(".")[1] for path in root.rglob(f".*{ENDING}"))


def write_everywhere(root: Path) -> None:
    write_csv(root / "runs.csv", ["a"], [])
    write_npz(root / "data" / "arrays.npz", {"a": np.zeros(1)})
    write_text(root / "tables" / "table1.md", "")


def test_what_a_living_process_writes_stays_until_it_is_killed(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    write_everywhere(tmp_path)
    assert leftovers(tmp_path) == ["a", "b", "c", "merged"]
    os.kill(writer.pid, signal.SIGSTOP)  # one that does nothing lives too
    write_everywhere(tmp_path)
    assert leftovers(tmp_path) == ["a", "b", "c", "merged"]
    writer.kill()
    writer.wait(30)
    write_everywhere(tmp_path)
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "a.csv").exists()


def test_a_writer_that_is_left_alone_ends_as_it_should(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    write_everywhere(tmp_path)
    writer.communicate(timeout=30)
    assert writer.returncode == 0
    names = {"a.csv", "data/b.npz", "tables/c.md"}
    assert {(tmp_path / name).read_text() for name in names} == {"half of i"}
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("make", [atomic_path, temporary_folder])
def test_cleaning_at_the_same_time_takes_nothing_from_a_writer(tmp_path: Path, make: Callable[[Path], object]) -> None:
    done = threading.Event()

    def clean() -> None:
        while not done.is_set():
            remove_leftovers(tmp_path)

    cleaner = threading.Thread(target=clean)
    cleaner.start()
    try:
        for i in range(40):
            if make is atomic_path:
                write_text(tmp_path / "x", str(i))
                assert (tmp_path / "x").read_text() == str(i)
            else:
                with temporary_folder(tmp_path / "x") as folder:
                    (folder / "y").write_text(str(i))
                    assert (folder / "y").read_text() == str(i)
    finally:
        done.set()
        cleaner.join()
    assert leftovers(tmp_path) == []


def test_files_of_others_stay(tmp_path: Path) -> None:
    for name in (".x.0123abcd.tmp", ".probe", "x.linconv.tmp"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / temporary_name("fifo", ENDED))  # does not keep it waiting
    (tmp_path / temporary_name("link", ENDED)).symlink_to(tmp_path / ".probe")
    write_text(tmp_path / "y", "")
    assert {path.name for path in tmp_path.iterdir()} == {".x.0123abcd.tmp", ".probe", "x.linconv.tmp", "y"}


def test_what_another_machine_writes_stays_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_host", lambda: "0123abcd")
    there = [tmp_path / temporary_name("file", ENDED), tmp_path / temporary_name("folder", ENDED)]
    there[0].touch()
    there[1].mkdir()
    (there[1] / "x").touch()
    monkeypatch.undo()
    unknown = tmp_path / f".x{ENDING}"
    unknown.touch()
    write_text(tmp_path / "y", "")
    assert leftovers(tmp_path) == ["file", "folder", "x"]
    for path in (*there, unknown):
        os.utime(path, (0, time.time() - 25 * 3600))
    write_text(tmp_path / "y", "")
    assert leftovers(tmp_path) == []


def test_every_stage_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    config = make_config(datasets=["digits"], variants=["conv", "Lr"], seeds=[0], figures={"formats": ["svg"]})
    write_experiment(tmp_path, config)
    for folder in ("data", "tables", "."):
        write_text(tmp_path / folder / "other", "")
        (tmp_path / folder / temporary_name("some", ENDED)).write_text("half of i")
    collect(config, tmp_path)
    render_tables(tmp_path)
    assert leftovers(tmp_path) == ["some"]  # that beside claims.md
    render_claims(tmp_path)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("path", [".", "/", ".."])
def test_a_folder_without_a_name_is_not_written_over(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(OSError, match=r"directory|busy|not empty") as error:
        write_text(path, "x")
    assert error.value.filename == path
    assert list((tmp_path / "here").iterdir()) == []
