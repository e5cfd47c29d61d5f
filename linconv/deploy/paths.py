"""Places of files, checked before anything is computed: one plain line says what is wrong with them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from linconv.config.errors import UserError, reason_of


def readable(path: Path | str) -> Path:
    """The path of a file that is there; raises UserError where none is."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: {'a folder, where a file is expected' if path.is_dir() else 'no such file'}")
    return path


def writable(path: Path | str) -> Path:
    """The path of a file to write; raises UserError where its folder is missing or it is a folder itself."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: a folder has this name; name a file")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}; make it first")
    return path


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within, an error of the operating system becomes one line with the path."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {reason_of(error)}") from None


@contextmanager
def readable_by_others(path: Path) -> Iterator[Path]:
    """Within, a file is written; at the end it has the permissions of any new file, which safetensors takes away."""
    new = not path.exists()
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        yield path
    except BaseException:
        if new:
            path.unlink(missing_ok=True)
        raise
    path.chmod(mode)
