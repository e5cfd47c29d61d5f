"""Something that happens at a line of the code, wherever that line is reached."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any


class Lines:
    """Counts the lines of some modules as they are executed, and calls `act` before one of them.

    Args:
        at: the number of the line, from 0; None counts only.
    """

    def __init__(self, modules: tuple[ModuleType, ...], at: int | None, act: Callable[[], object]) -> None:
        self.files = {str(module.__file__) for module in modules}
        self.at, self.act = at, act
        self.count = 0
        self.place = ""

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in self.files:
            return None
        if event == "line":
            self.count += 1
            if self.count - 1 == self.at:
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                self.act()
        return self.trace


@contextmanager
def lines(*modules: ModuleType, at: int | None, act: Callable[[], object]) -> Iterator[Lines]:
    """See `Lines`."""
    counted = Lines(modules, at, act)
    before = sys.gettrace()
    sys.settrace(counted.trace)
    try:
        yield counted
    finally:
        sys.settrace(before)
