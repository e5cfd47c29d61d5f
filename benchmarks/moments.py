"""`linconv` in a process that gets a signal at a moment of its own: a line or a time in one of `PHASES`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

PHASES = ("start", "reading", "batches", "checkpoint", "result", "exit")


class Moment(NamedTuple):
    """When a process gets a signal: before the `line`-th line of a phase, or `seconds` after it has begun."""

    number: int
    phase: str
    line: int | None
    seconds: float = 0.0


class Attack:
    """In the process: follows the phases, counts their lines and seconds, and sends the signal."""

    def __init__(self, moment: Moment | None, counts: bool) -> None:
        self.moment, self.phase, self._counts = moment, "", counts
        self.lines: Counter[str] = Counter()
        self.seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        self._began = time.monotonic()
        self._package = str(Path(sys.modules["linconv"].__file__ or "").parent)

    def enter(self, phase: str) -> None:
        now = time.monotonic()
        if self.phase:
            self.seconds[self.phase] += now - self._began
        self.phase, self._began = phase, now
        wanted = self.moment
        if wanted and wanted.phase == phase and wanted.line is None:
            self._later(wanted)
            self.moment = None
        if self._counts or (wanted and wanted.phase == phase):  # tracing takes as long as all else
            self._trace_from_here()
        else:
            sys.settrace(None)

    def _trace_from_here(self) -> None:
        sys.settrace(self.trace)
        frame = sys._getframe(2).f_back
        while frame is not None:
            if frame.f_code.co_filename.startswith(self._package):
                frame.f_trace = self.trace
            frame = frame.f_back

    def _later(self, wanted: Moment) -> None:
        """Another process sends the signal: a thread of this one would wait while torch writes or computes."""
        parent = os.getpid()
        if os.fork() == 0:
            time.sleep(wanted.seconds)
            if os.getppid() == parent:
                os.kill(parent, wanted.number)
            os._exit(0)

    def trace(self, frame: Any, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self._package):
            return None
        if event == "line":
            wanted = self.moment
            if wanted and wanted.phase == self.phase and wanted.line == self.lines[self.phase]:
                self.moment = None
                os.kill(os.getpid(), wanted.number)
            self.lines[self.phase] += 1
        return self.trace

    def follow(self) -> None:
        """Wrap what begins and ends the phases."""
        from linconv import runner
        from linconv.training import callbacks, run

        def during(owner: Any, name: str, phase: str, after: str) -> None:
            function = getattr(owner, name)

            def wrapped(*given: Any, **named: Any) -> Any:
                self.enter(phase)
                found = function(*given, **named)
                self.enter(after)
                return found

            setattr(owner, name, wrapped)

        during(run, "restore_team", "reading", "start")
        during(run, "fit", "batches", "result")
        during(callbacks, "save_checkpoint", "checkpoint", "batches")
        during(runner, "finish_run", "result", "exit")
        self.enter("start")


def run_linconv(arguments: list[str], moment: Moment | None, report: str | None = None) -> None:
    """`linconv` in this process, which a moment may end; its phases go to the file `report`."""
    from linconv import cli

    sys.argv = ["linconv", *arguments]
    attack = Attack(moment, report is not None)
    attack.follow()
    try:
        cli.main()
    finally:
        if report:
            attack.enter("")
            Path(report).write_text(json.dumps([attack.lines, attack.seconds]), encoding="utf-8")
