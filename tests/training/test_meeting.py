"""Where the processes of one run meet: who waits there says so, and hears a request to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from linconv.training import meeting

PATIENCE = timedelta(seconds=1)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody else comes, and waiting is a call that no signal ends."""
    come = threading.Event()
    monkeypatch.setattr(meeting, "_join", lambda *_: come.wait(60))
    monkeypatch.setattr(meeting, "SOON", 0.0)
    monkeypatch.setattr(meeting, "SHORTLY", 0.0)
    monkeypatch.setenv("MASTER_ADDR", "node1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    yield
    come.set()


def test_who_waits_says_so_and_leaves_when_asked_to_stop(
    nobody: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(meeting, "requested", lambda: bool(caplog.messages))
    assert meeting.meet(2, "gloo", PATIENCE) is None
    assert caplog.messages == ["waiting at node1:29500 for the other processes of this run, 2 in all"]


def test_what_goes_wrong_there_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def join(*_: object) -> None:
        raise RuntimeError("gloo: no way")

    monkeypatch.setattr(meeting, "_join", join)
    with pytest.raises(RuntimeError, match="gloo: no way"):
        meeting.meet(2, "gloo", PATIENCE)
