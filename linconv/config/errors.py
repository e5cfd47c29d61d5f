"""The base of errors that a user can mend."""


class UserError(ValueError):
    """An error whose message tells the user what is wrong and what to do; the command line shows no traceback."""

    exit_code = 2
