"""The base of errors that a user can mend, and the exit code of what was stopped."""

INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: the same command goes on later


class UserError(ValueError):
    """An error whose message tells the user what is wrong and what to do; the command line shows no traceback."""

    exit_code = 2
