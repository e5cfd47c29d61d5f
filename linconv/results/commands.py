"""Commands and messages as results record them: they name no user and no folder outside the project."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

# an absolute path, one below a home folder or one that leaves the current folder, at the start of a word or of a value
_PATH = re.compile(r"(?:(?<=^)|(?<=[=,:]))(?:/|~|\.\.(?=/|$)|[^=,:]*/\.\.(?=/|$))[^=,:]*")

# an absolute path of two parts or more in a sentence: what follows white space, a quote or a bracket
_IN_TEXT = re.compile(r"""(?:(?<=^)|(?<=[\s'"(\[=]))(?:/|~/)[^\s'":;,()\[\]/]+(?:/[^\s'":;,()\[\]/]+)+""")


def shown_command(words: Sequence[str]) -> str:
    """The words of a command as one line, every path as `shown_path` gives it."""
    return shlex.join(_PATH.sub(lambda found: shown_path(found[0]), word) for word in words)


def shown_text(text: str) -> str:
    """A message with every absolute path in it as `shown_path` gives it."""
    return _IN_TEXT.sub(lambda found: shown_path(found[0]), text)


def shown_path(path: str | Path) -> str:
    """A path relative to the current folder; of one outside, the last part alone. The interpreter is "python"."""
    text = str(path)
    if text == sys.executable:
        return "python"
    here = Path.cwd()
    try:
        whole = Path(os.path.normpath(here / Path(text).expanduser()))
    except RuntimeError:  # of a user whom this machine does not know
        return Path(text).name if "/" in text else "~"
    if whole.is_relative_to(here):
        return whole.relative_to(here).as_posix()
    return whole.name or "."
