"""`linconv` and `python -m linconv`: the command line, or one line where what it needs is not installed."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from linconv import __version__
from linconv._extras import EXTRAS


def main() -> None:
    """Run the command line, and end with its exit code; 2 where a package of an extra is missing.

    Ctrl-C before the command begins ends the process at once, with exit code 75.
    """
    if sys.argv[1:] == ["--version"]:  # the commands need the benchmark's packages, and take longer
        sys.stdout.write(f"linconv {__version__}\n")
        return
    before = signal.signal(signal.SIGINT, _leave)
    try:
        from linconv.cli import main as run

        signal.signal(signal.SIGINT, before)
        run()
    except ModuleNotFoundError as error:
        if not any(error.name in modules for modules in EXTRAS.values()):
            raise
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def _leave(number: int, frame: FrameType | None) -> None:
    """Half an import leaves nothing to clean up, and a traceback of it tells nobody anything."""
    sys.stderr.write("interrupted; the same command starts again\n")
    os._exit(75)


if __name__ == "__main__":
    main()
