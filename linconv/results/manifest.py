"""The manifest of collected data: rendering shows what was collected, or says that it is something else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from linconv.results.files import write_result
from linconv.results.reading import read_result
from linconv.results.record import SCHEMA_VERSION, Record, ResultError, Sha256

MANIFEST = "manifest.json"
_COLLECTED = (".csv", ".npz")


class Manifest(Record):
    """The SHA-256 of every file in a folder of collected data."""

    kind: Literal["manifest"] = "manifest"
    schema_version: Literal[2] = SCHEMA_VERSION
    files: dict[str, Sha256]


def write_manifest(data: Path) -> Path:
    """Write the manifest of all collected files in `data`."""
    files = sorted(path for path in data.iterdir() if path.suffix in _COLLECTED and not path.name.startswith("."))
    write_result(data / MANIFEST, Manifest(files={path.name: _sha256(path) for path in files}))
    return data / MANIFEST


def check_manifest(data: Path, names: Iterable[str] = ()) -> dict[str, Sha256]:
    """Hold the files in `data` to their manifest, and return the SHA-256 of each.

    Args:
        names: files that must be there.

    Raises:
        ResultError: a file is missing, or is not the one that was collected.
    """
    for name in names:
        if not (data / name).exists():
            raise ResultError(f"{data / name}: missing; collect the results first")
    if not (data / MANIFEST).exists():
        raise ResultError(f"{data / MANIFEST}: missing; collect the results again")
    files = read_result(data / MANIFEST, Manifest).files
    for name in dict.fromkeys((*names, *files)):
        path = data / name
        try:
            found = _sha256(path)
        except FileNotFoundError:
            raise ResultError(f"{path}: missing; collect the results again") from None
        except OSError as error:
            raise ResultError(f"{path}: cannot be read ({error.strerror}); collect the results again") from None
        if found != files.get(name):
            raise ResultError(f"{path}: is not the file that was collected; collect the results again")
    return files


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
