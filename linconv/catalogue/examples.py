"""The configurations that come with the package: the files of `config/`, which a wheel holds as `linconv/examples/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def examples() -> Mapping[str, Path]:
    """The files by the name of their experiment; those of the clone where the package is used from one."""
    shipped = _PACKAGE / "examples"
    folder = shipped if shipped.is_dir() else _PACKAGE.parent / "config"
    return {_experiment(path): path for path in sorted(folder.glob("*.yaml"))}


def first_sentence(path: Path) -> str:
    """What the comment on top of a configuration says first."""
    lines = path.read_text(encoding="utf-8").splitlines()
    count = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    text = " ".join(line.removeprefix("#").strip() for line in lines[:count])
    return text.partition(". ")[0].rstrip(".")


def _experiment(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("experiment:"))
