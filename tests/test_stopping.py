"""Requests to stop: raised at once or at the end of a block, and swallowed by nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from linconv import stopping
from linconv.stopping import StopRequested, deferred, listening, requested
from tests.lines import lines

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT])
def number(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_a_signal_is_raised_in_whatever_runs_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    with pytest.raises(StopRequested, match="the same command continues it"), listening():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
    assert not requested()


def test_no_handler_of_errors_swallows_it(number):
    def careful():
        try:
            signal.raise_signal(number)
        except Exception:
            pytest.fail("it was taken for an error")

    with listening(), pytest.raises(StopRequested):
        careful()


def test_one_that_a_finalizer_swallows_is_still_on_record(number, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)

    class Dies:
        def __del__(self):
            signal.raise_signal(number)

    with listening():
        dies = Dies()
        del dies
        assert requested()
        with pytest.raises(StopRequested):
            stopping.check()
        with pytest.raises(StopRequested), deferred():
            pytest.fail("a block begins after the request")


def test_a_block_ends_in_its_own_way_and_is_told(number):
    done = []

    def block():
        with deferred(lambda: done.append("told")):
            signal.raise_signal(number)
            assert requested()
            done.append("went on")
            with deferred(lambda: done.append("told within")):
                done.append("within")
            done.append("after")

    with listening(), pytest.raises(StopRequested):
        block()
    assert done == ["told", "went on", "told within", "within", "after"]


def test_a_second_signal_ends_a_deferred_block(number):
    def block():
        with deferred():
            signal.raise_signal(number)
            signal.raise_signal(number)
            pytest.fail("the block went on")

    with listening(), pytest.raises(StopRequested):
        block()


def test_without_a_signal_nothing_happens():
    with listening(), listening(), deferred():
        assert not requested()
    stopping.check()


def test_a_helper_process_keeps_to_its_parent(number):
    with listening():
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(3)
        os.kill(child, signal.SIGINT)  # Ctrl-C reaches the whole group: the parent ends its helpers
        time.sleep(0.1)
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM


SIGNALLED = """
import os, sys, signal
sys.argv = ["linconv", "list"]
from linconv import cli
{}
cli.main()
"""
AT_IMPORT = """
import importlib.abc
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "typer":
            for _ in range({count}): os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
"""
AT_EXIT = "import atexit; atexit.register(lambda: os.kill(os.getpid(), {number}))"


def ends(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SIGNALLED.format(code)], capture_output=True, text=True, check=False)


def test_a_signal_while_the_command_line_is_imported_is_one_line_and_code_75(number):
    done = ends(AT_IMPORT.format(number=number, count=1))
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr == "interrupted; the same command continues it\n"


def test_many_signals_at_once_are_code_75(number):
    done = ends(AT_IMPORT.format(number=number, count=4))
    assert done.returncode == 75
    assert "Traceback" not in done.stderr


def test_a_signal_after_the_end_of_a_command_changes_nothing(number):
    done = ends(AT_EXIT.format(number=number))
    assert (done.returncode, done.stderr) == (0, "")
    assert "cifar10" in done.stdout


def test_at_every_line_of_the_end_of_a_command_the_code_is_0_or_75(number, monkeypatch, capsys):
    from linconv import cli

    monkeypatch.setattr(sys, "argv", ["linconv", "list"])
    with lines(cli, stopping, at=None, act=lambda: None) as counted, pytest.raises(SystemExit):
        cli.main()
    for at in range(counted.count):
        exits = []
        monkeypatch.setattr(os, "_exit", exits.append)
        with (
            lines(cli, stopping, at=at, act=lambda: signal.raise_signal(number)) as reached,
            pytest.raises((SystemExit, StopRequested, KeyboardInterrupt)) as ended,
        ):
            cli.main()
        if isinstance(ended.value, SystemExit):
            assert ended.value.code in (0, 75), reached.place
        else:  # before there are handlers, a signal is what it is to every program
            assert at < 20, reached.place
        assert not exits
