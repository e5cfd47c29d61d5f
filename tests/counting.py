"""How much work a call is, without a clock."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any


def calls(function: Any, *arguments: Any) -> int:
    """How many functions of Python a call calls, itself included."""
    count = 0

    def seen(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(seen)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return count
