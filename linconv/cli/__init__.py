"""The command line: every stage of the pipeline is a command that runs without the pipeline."""

from __future__ import annotations

import io
import logging
import sys

from linconv import stopping

log = logging.getLogger("linconv")


def main() -> None:
    """Run the command line, and end with its exit code.

    An error a user can mend is one message without a traceback, and code 2 (or 1); one of the operating system is one
    message with path, reason and remedy, and code 1. SIGTERM or Ctrl-C, at whatever moment, is code 75.
    """
    try:
        stopping.listen()  # before anything that takes time
        code = _run()
        stopping.check()
        stopping.leave()
    except stopping.StopRequested as stopped:
        code = stopping.INTERRUPTED  # as from now on by one more signal
        log.warning("%s", stopped)
        stopping.leave()
    sys.exit(code)


def _run() -> int:
    if sys.platform == "win32":  # the character set of a pipe there lacks what tables are made of
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8")
    with stopping.deferred():  # half an import can crash an interpreter that ends
        from linconv.cli.commands import app
        from linconv.config.errors import UserError, explain_os_error
    try:
        app()
        sys.stdout.flush()
    except Exception as error:
        stopping.check()  # a library may have made another error of the request
        if isinstance(error, UserError):
            log.error("error: %s", error)
            return error.exit_code
        if isinstance(error, OSError):
            log.error("error: %s", explain_os_error(error))
            return 1
        raise
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
