"""The base of errors that a user can mend, and the words for an error of the operating system."""

from __future__ import annotations

import errno
import os

AGAIN = "then the same command continues"
_REMEDIES = {
    f"make room on the disk, {AGAIN}": (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    "give this user access to it, or choose another place": (errno.EACCES, errno.EPERM),
    "choose a place that can be written to": (errno.EROFS,),
    "a file is where a folder should be, or the other way round: move it away": (
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENOTEMPTY,
    ),
    f"make it or name another, {AGAIN}": (errno.ENOENT,),
    f"raise the limit of open files (ulimit -n), {AGAIN}": (errno.EMFILE, errno.ENFILE),
    "choose shorter names": (errno.ENAMETOOLONG,),
}


class UserError(ValueError):
    """An error whose message tells the user what is wrong and what to do; the command line shows no traceback."""

    exit_code = 2


def explain_os_error(error: OSError) -> str:
    """An error of the operating system in one line: the path, what is wrong with it, and the remedy."""
    place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes | os.PathLike) else ""
    return f"{place}{reason_of(error)}; {remedy_of(error)}"


def explain_unreadable(error: OSError) -> str:
    """What to say of a file that the system does not give, after its path; the file may be good."""
    return f"cannot be read ({reason_of(error)}); {remedy_of(error)}"


def reason_of(error: OSError) -> str:
    """What the system says."""
    return error.strerror or (os.strerror(error.errno) if error.errno else " ".join(str(error).split()))


def remedy_of(error: OSError) -> str:
    """What to do about it."""
    found = (words for words, numbers in _REMEDIES.items() if error.errno in numbers)
    return next(found, f"check the disk and its connection, {AGAIN}")


def first_line(error: BaseException) -> str:
    """The kind of an error and its first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ": ".join([type(error).__name__, *lines[:1]])
